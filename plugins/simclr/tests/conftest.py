import pytest
import torch
from torch import nn

from lightly_core.protocols import Batch, RunContext


class TinyConv(nn.Module):
    """Two convolutions with the four members of a model wrapper."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
        )

    def forward_features(self, x):
        return {"features": self.net(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self):
        return 16

    def get_model(self):
        return self.net


@pytest.fixture
def wrapper():
    torch.manual_seed(0)
    return TinyConv()


@pytest.fixture
def context():
    return RunContext(dataset_size=100, global_batch_size=8, total_steps=20, steps_per_epoch=10)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    noise = 0.1 * torch.randn(2, 8, 3, 16, 16, generator=generator)
    return Batch(views=[images + noise[0], images.flip(3) + noise[1]], indices=torch.arange(8))

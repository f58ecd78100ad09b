import attrs
import pytest
import torch
from short_run import write_images
from torch import nn

from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts import Batch, RunContext
from lightly_core.testing.models import TinyConv, TinyTokens


class TokensOfImagenet(TinyTokens):
    """Trained with the normalisation of `RunContext`: its images stay as they are."""

    def input_normalization(self):
        return RunContext.mean, RunContext.std


def trained(module):
    """Give batch norm statistics, and norms values, as training does."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand(tensor.shape, generator=generator)
    return module


@pytest.fixture
def make_context():
    def make(**changes):
        values = {
            "dataset_size": 100,
            "global_batch_size": 8,
            "total_steps": 20,
            "steps_per_epoch": 10,
            "num_views": 1,
            "image_size": (32, 32),
        }
        return RunContext(**{**values, **changes})

    return make


@pytest.fixture
def conv_teacher():
    torch.manual_seed(0)
    return trained(TinyConv(feature_dim=24))


@pytest.fixture
def token_teacher():
    torch.manual_seed(0)
    return trained(TokensOfImagenet(feature_dim=24, depth=3))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 32, 32, generator=generator)
    return Batch(views=[images], indices=torch.arange(8))


@pytest.fixture
def image_folder(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def build(make_context):
    """Build a method: `build(class, config class, teacher, student, **options)`."""

    def make(method_class, config_class, teacher, student=None, **options):
        config = config_class(
            teacher=teacher if isinstance(teacher, str) else PythonObject(teacher),
            **{"teacher_precision": "fp32", **options},
        )
        if getattr(config, "queue_size", None) == "auto":
            config = attrs.evolve(config, queue_size=16)
        torch.manual_seed(0)
        return method_class(config, student or TinyConv(), make_context())

    return make


class FixedTeacher(nn.Module):
    """A wrapper whose feature map is the image itself, and which knows its normalisation."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = mean, std
        self.scale = nn.Parameter(torch.ones(()))

    def forward_features(self, x):
        return {"features": self.scale * x}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return 3

    def get_model(self):
        return self

    def input_normalization(self):
        return self.mean, self.std


@pytest.fixture
def fixed_teacher():
    return FixedTeacher

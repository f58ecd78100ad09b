"""One short run, for test_processes.py: here, or in two processes when started."""

import sys

import torch
from torch import nn

import lightly_core


class Net(nn.Module):
    """No batch statistics: those are taken per process on a CPU."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)
        )

    def forward_features(self, x):
        return {"features": self.body(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return 8

    def get_model(self):
        return self.body


def train(out, data, devices):
    torch.manual_seed(0)
    lightly_core.pretrain(
        out=out,
        data=data,
        model=Net(),
        method="simclr",
        method_args={"hidden_dim": 8, "output_dim": 4, "batch_norm": False},
        transform_args={"image_size": 16},
        epochs=2,
        batch_size=8,
        num_workers=0,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices == 2 else "auto",
        precision="32-true",
        loggers={"tensorboard": None},
        trainer_args={"log_every_n_steps": 1},
    )


if __name__ == "__main__":
    train(*sys.argv[1:], devices=2)

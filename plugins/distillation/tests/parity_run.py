"""Started by tests: python parity_run.py OUT DATA DEVICES METHOD [CACHE_DIR], one short run."""

import sys

import torch
from torch import nn

import lightly_core


class Net(nn.Module):
    """No batch statistics: those are taken per process on a CPU."""

    def __init__(self, width):
        super().__init__()
        self.width = width
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, width, 3, 2, 1)
        )

    def forward_features(self, x):
        return {"features": self.body(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return self.width

    def get_model(self):
        return self.body


if __name__ == "__main__":
    torch.manual_seed(0)
    out, data, devices, method, *cache_dir = sys.argv[1:]
    options = {} if method == "distillationv2" else {"queue_size": 20}
    if cache_dir:
        options |= {"cache": 1, "cache_dir": cache_dir[0]}
    lightly_core.pretrain(
        out=out,
        data=data,
        model=Net(8),
        method=method,
        # Each process blends the images that it has.
        method_args={"teacher": Net(6), "mixup": False, "teacher_precision": "fp32", **options},
        optim="sgd",
        optim_args={"lr": 0.5},
        transform_args={"image_size": 16},
        epochs=2,
        batch_size=8,
        num_workers=0,
        accelerator="cpu",
        devices=int(devices),
        strategy="ddp" if devices == "2" else "auto",
        precision="32-true",
        trainer_args={"log_every_n_steps": 1},
    )

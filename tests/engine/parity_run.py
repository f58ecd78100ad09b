"""One short run, for test_processes.py: here, or in two processes when started."""

import sys

import torch
from short_run import TinyWrapper, run_settings

import lightly_core


def train(out, data, devices):
    torch.manual_seed(0)
    model = TinyWrapper(dropout=0.0)
    strategy = "ddp" if devices == 2 else "auto"
    lightly_core.pretrain(
        **run_settings(out=out, data=data, model=model, devices=devices, strategy=strategy)
    )


if __name__ == "__main__":
    train(*sys.argv[1:], devices=2)

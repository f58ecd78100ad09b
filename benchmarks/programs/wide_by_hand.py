"""CPU milliseconds and additional MiB of the same step as `wide_step`, written by hand.

python wide_by_hand.py vicreg|barlowtwins SIZE BATCH

It is the least that torch's operations need: the layers of the projector see the rows of both views
at once, losses are computed from products of rows, and SGD with momentum takes one kernel for each
parameter, without norms and without a check of the gradients.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from benchmarks.programs.memory import PeakMemory
from benchmarks.programs.training import precision
from benchmarks.programs.wide_step import STEPS

DIM = 8192


class Network(nn.Module):
    """ResNet-18 and a projector of three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18()
        self.backbone.fc = nn.Identity()  # type: ignore[assignment]
        self.layers = nn.ModuleList(
            nn.Linear(*dims, bias=False) for dims in pairwise((512, DIM, DIM, DIM))
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(DIM) for _ in range(2))

    def forward(self, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the embeddings of two views."""
        x = torch.cat([self.backbone(view) for view in views])
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = torch.cat([norm(half) for half in layer(x).chunk(2)]).relu()
        first, second = self.layers[-1](x).float().chunk(2)
        return first, second


def rest(first: Tensor, second: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
    """Return the diagonal of ``first.T @ second / divisor`` and the sum of the other squares."""
    diagonal = (first * second).sum(0) / divisor
    squares = (first @ first.T * (second @ second.T)).sum() / divisor**2
    return diagonal, squares - diagonal.square().sum()


def loss_of(method: str, first: Tensor, second: Tensor) -> Tensor:
    """The loss of `vicreg` or `barlowtwins` with fewer images than dimensions."""
    number = len(first)
    if method == "barlowtwins":
        first, second = (F.batch_norm(z, None, None, training=True) for z in (first, second))
        diagonal, others = rest(first, second, number)
        return (1 - diagonal).square().sum() + 0.0051 * others
    loss = 25 * F.mse_loss(first, second)
    for z in (first, second):
        centered = z - z.mean(0)
        variances, others = rest(centered, centered, number - 1)
        loss = loss + 12.5 * (1 - (variances + 1e-4).sqrt()).relu().mean() + others / DIM
    return loss


def main(method: str, size: str, batch: str) -> None:
    """Take the steps on one core."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)
    shape = (int(batch), 3, int(size), int(size))
    views = [torch.randn(shape).to(memory_format=torch.channels_last) for _ in range(2)]
    memory, times = PeakMemory(), []
    for _ in range(STEPS):
        start = time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision() == "bf16-mixed"):
            first, second = network(views)
            with torch.autocast("cpu", enabled=False):
                loss = loss_of(method, first, second)
        loss.backward()
        optimizer.step()
        times.append(time.process_time() - start)
    time_of_step = statistics.median(times[2:]) * 1e3
    print(json.dumps({"time": time_of_step, "memory": memory.mebibytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])

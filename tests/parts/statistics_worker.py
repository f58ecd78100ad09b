"""One of two processes: python statistics_worker.py RANK INIT_FILE INPUT_FILE RESULT_FILE.

The input is what a single process would get; each process takes its share of the rows.
"""

import sys

import torch
import torch.distributed as dist

from lightly_core.parts.centering import Center
from lightly_core.parts.coding_rate import coding_rate
from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.koleo import koleo
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_core.parts.sliced import random_slices, sigreg, sliced_wasserstein


def loss_and_gradient(function, rows):
    rows = rows.clone().requires_grad_()
    loss = function(rows)
    loss.backward()
    return {"loss": loss.detach(), "gradient": rows.grad}


def saved_center(inputs, rank):
    """The centre that this process saves, with the last update still under way."""
    center = Center(inputs.shape[1])
    for step in range(3):
        targets = center.probabilities(inputs.chunk(2)[rank], 0.1)
        center.update(inputs.chunk(2)[rank] + step)
    return {"state": center.state_dict(), "targets": targets}


def two_views(rows):
    return torch.stack([rows, rows.flip(1)])


def main(inputs, rank):
    half = inputs.chunk(2)[rank]
    slices = random_slices(7, inputs.shape[1], step=3, like=inputs)
    # Of uneven shares the second is empty, and all rows are on the first process.
    uneven, nothing = (inputs[:3], inputs[3:]), (inputs, inputs[:0])
    few = Center(inputs.shape[1])
    few.update(uneven[rank])
    none = Center(inputs.shape[1])
    none.update(inputs[:0])
    return {
        "sinkhorn": sinkhorn(half, 0.1),
        "sinkhorn_uneven": sinkhorn(uneven[rank], 0.1),
        "sinkhorn_nothing": sinkhorn(nothing[rank], 0.1),
        "sinkhorn_by_position": sinkhorn(torch.stack([half, half.flip(1)]), 0.1),
        "center": saved_center(inputs, rank),
        "center_uneven": few.center,
        "center_none": none.center,
        "koleo": loss_and_gradient(lambda x: koleo(x, all_processes=True), half),
        "koleo_alone": koleo(half),
        "coding_rate": loss_and_gradient(lambda x: coding_rate(x, eps=0.05), half),
        "sigreg": loss_and_gradient(lambda x: sigreg(two_views(x), slices), half),
        "sliced_wasserstein": loss_and_gradient(
            lambda x: sliced_wasserstein(two_views(gather_with_gradient(x)), slices), half
        ),
    }


if __name__ == "__main__":
    number = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    torch.save(main(torch.load(sys.argv[3]), number), sys.argv[4])
    dist.destroy_process_group()

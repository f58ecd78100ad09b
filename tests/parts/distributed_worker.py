"""One of two processes: python distributed_worker.py RANK INIT_FILE RESULT_FILE."""

import sys

import torch
import torch.distributed as dist

from lightly_core.parts import distributed


def leaf(rank):
    values = torch.arange(6, dtype=torch.float64).reshape(2, 3) + 10 * rank
    return values.requires_grad_()


def weights(rank):
    """Coefficients of the losses, other ones on each process."""
    return torch.arange(12, dtype=torch.float64).reshape(4, 3) * (rank + 1)


def main(rank):
    gathered = leaf(rank)
    everything = distributed.gather_with_gradient(gathered)
    (everything * weights(rank)).sum().backward()

    summed = leaf(rank)
    total = distributed.reduce_sum_with_gradient(summed)
    (total * weights(rank)[:2]).sum().backward()

    averaged = leaf(rank)
    mean = distributed.reduce_mean_with_gradient(averaged)
    (mean * weights(rank)[:2]).sum().backward()

    labels = distributed.gather(torch.tensor([rank, rank + 5]))
    transposed = distributed.gather_with_gradient(leaf(rank).T)
    return {
        "rank": distributed.rank(),
        "world_size": distributed.world_size(),
        "gathered": everything.detach(),
        "gathered_gradient": gathered.grad,
        "sum": total.detach(),
        "sum_gradient": summed.grad,
        "argument_after_sum": summed.detach(),
        "mean": mean.detach(),
        "mean_gradient": averaged.grad,
        "labels": labels,
        "detached": not distributed.gather(leaf(rank)).requires_grad,
        "transposed": transposed.detach(),
    }


if __name__ == "__main__":
    number = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    torch.save(main(number), sys.argv[3])
    dist.destroy_process_group()

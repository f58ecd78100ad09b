"""One of two processes: python distributed_worker.py RANK INIT_FILE DATA_FILE RESULT_FILE."""

import sys

import torch
import torch.distributed as dist
from torch import nn

from lightly_simclr.loss import contrast, nt_xent


def averaged(gradient):
    """Do what DistributedDataParallel does; building one takes seconds."""
    gradient = gradient.clone()
    dist.all_reduce(gradient)
    return gradient / dist.get_world_size()


def main(rank, data_file):
    data = torch.load(data_file, weights_only=True)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    model.load_state_dict(data["model"])
    first, second = (model(view.chunk(2)[rank]) for view in data["views"])
    loss = nt_xent(first, second, temperature=0.2)
    loss.backward()
    logits, pair = contrast(first, second, temperature=0.2)
    return {
        "loss": loss.detach(),
        "gradients": [averaged(parameter.grad) for parameter in model.parameters()],
        "logits": logits.detach(),
        "pair": pair,
    }


if __name__ == "__main__":
    number = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    torch.save(main(number, sys.argv[3]), sys.argv[4])
    dist.destroy_process_group()

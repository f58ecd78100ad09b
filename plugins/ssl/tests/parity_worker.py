"""One of two processes: python parity_worker.py RANK INIT_FILE OPTIONS_JSON RESULT_FILE."""

import json
import sys

import torch
import torch.distributed as dist

from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.protocols import Batch
from lightly_core.testing.method_case import MethodCase
from lightly_core.testing.models import TinyTokens


def one_step(name, options, rank=0, world_size=1):
    """Return loss and gradients of a method on its share of a batch of eight images."""
    record = get_plugins().catalog.get("method", name.partition(" ")[0])
    case = MethodCase(load_target(record), load_config(record), options, TinyTokens)
    method, batch = case.build().double(), case.batch()
    rows = slice(rank * 8 // world_size, (rank + 1) * 8 // world_size)
    part = Batch(
        [view[rows].double() for view in batch.views],
        batch.indices[rows],
        {key: x[rows] for key, x in batch.extras.items()},
    )
    result = method.training_step(part, 0)
    result.loss.backward()
    gradients = {key: p.grad.clone() for key, p in method.named_parameters() if p.grad is not None}
    if world_size > 1:
        # What DistributedDataParallel does; building one takes seconds.
        for gradient in gradients.values():
            dist.all_reduce(gradient)
            gradient /= world_size
    return {"loss": result.loss.detach(), "gradients": gradients}


if __name__ == "__main__":
    number, everything = int(sys.argv[1]), json.loads(sys.argv[3])
    # Alone first: with a process group the parts would talk to the other process.
    alone = {name: one_step(name, options) for name, options in everything.items()}
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    both = {name: one_step(name, options, number, 2) for name, options in everything.items()}
    dist.destroy_process_group()
    torch.save({"alone": alone, "both": both}, sys.argv[4])

"""One of two processes: python parity_worker.py RANK INIT_FILE DATA_FILE RESULT_FILE."""

import sys

import numpy as np
import torch
import torch.distributed as dist

from lightly_core.protocols import Batch, RunContext
from lightly_core.testing import TinyTokens
from lightly_dino.config import DINOConfig
from lightly_dino.config_sim import SimDINOConfig, SimDINOv2Config
from lightly_dino.config_tokens import DINOv2Config, DINOv3Config, DINOv31Config, IBOTConfig
from lightly_dino.dino import DINO
from lightly_dino.dinov2 import DINOv2
from lightly_dino.dinov3 import DINOv3
from lightly_dino.dinov31 import DINOv31
from lightly_dino.ibot import IBOT
from lightly_dino.simdino import SimDINO
from lightly_dino.simdinov2 import SimDINOv2

CENTRES = {"centering": "softmax"}
METHODS = {
    "dino": (DINO, DINOConfig, CENTRES),
    "dino-sinkhorn": (DINO, DINOConfig, {"centering": "sinkhorn"}),
    "ibot": (IBOT, IBOTConfig, CENTRES),
    # KoLeo looks for neighbours on its own process here, as in the paper.
    "dinov2": (DINOv2, DINOv2Config, {"koleo_loss_weight": 0.0}),
    "dinov31": (DINOv31, DINOv31Config, {"koleo_loss_weight": 0.0, "paka_grid": 2}),
    # Its KoLeo looks everywhere.
    "dinov3": (DINOv3, DINOv3Config, {"gram_start_step": 0}),
    "dinov3-softmax": (DINOv3, DINOv3Config, {"gram_start_step": 0, **CENTRES}),
    "simdino": (SimDINO, SimDINOConfig, {}),
    "simdinov2": (SimDINOv2, SimDINOv2Config, {}),
}


def averaged(gradient, world_size):
    """Do what DistributedDataParallel does; building one takes seconds."""
    if world_size > 1:
        dist.all_reduce(gradient)
    return gradient / world_size


def boxes_of(method, num_images):
    """Return the places of the crops of DINOv31, nothing for other methods."""
    make = method.sample_extras()
    drawn = [make(np.random.default_rng(image)) for image in range(num_images)] if make else []
    return torch.stack([one.get("box", torch.zeros(0)) for one in drawn] or [torch.zeros(0)] * 8)


def run(name, data, rank, world_size):
    """Take two steps and return losses, gradients of the second, and the method's state."""
    method_class, config_class, options = METHODS[name]
    small = {"hidden_dim": 16, "output_dim": 12}
    if not name.startswith("simdino"):
        small |= {"bottleneck_dim": 8, "freeze_last_layer_steps": 0}
        small |= {"teacher_temp": 0.1, "warmup_teacher_temp": 0.1}
    config = config_class(**small, momentum_start=0.9, anchor_weight=0.1, **options)
    context = RunContext(
        dataset_size=64,
        global_batch_size=data["views"][0].shape[0],
        total_steps=10,
        steps_per_epoch=5,
        world_size=world_size,
        image_size=(32, 32),
    )
    torch.manual_seed(0)
    method = method_class(config, TinyTokens(), context).double().train()
    with torch.no_grad():
        for parameter in method.heads.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        method.teacher.follow(method.student(), 0.5)
    views = [view.chunk(world_size)[rank] for view in data["views"]]
    extras = {"mask": data["mask"], "box": boxes_of(method, len(data["mask"]))}
    extras = {key: x.chunk(world_size)[rank] for key, x in extras.items()}
    batch = Batch(views, torch.arange(len(views[0])), extras)
    losses = []
    for step in range(2):
        method.zero_grad()
        loss = method.training_step(batch, step).loss
        loss.backward()
        learning = {key: p for key, p in method.named_parameters() if p.requires_grad}
        gradients = {key: averaged(p.grad, world_size) for key, p in learning.items()}
        with torch.no_grad():
            for key, parameter in learning.items():
                parameter -= 0.1 * gradients[key]
        method.after_step(step + 1)
        losses.append(loss.detach())
    return {"losses": torch.stack(losses), "gradients": gradients, "state": method.state_dict()}


if __name__ == "__main__":
    number = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    images = torch.load(sys.argv[3], weights_only=True)
    torch.save({name: run(name, images, number, 2) for name in METHODS}, sys.argv[4])
    dist.destroy_process_group()

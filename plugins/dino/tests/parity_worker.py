"""One of two processes: python parity_worker.py RANK INIT_FILE DATA_FILE RESULT_FILE."""

import sys

import torch
import torch.distributed as dist

from lightly_core.protocols import Batch, RunContext
from lightly_core.testing import TinyTokens
from lightly_dino.config import DINOConfig
from lightly_dino.config_sim import SimDINOv2Config
from lightly_dino.config_tokens import DINOv3Config, IBOTConfig
from lightly_dino.dino import DINO
from lightly_dino.dinov3 import DINOv3
from lightly_dino.ibot import IBOT
from lightly_dino.simdinov2 import SimDINOv2

CENTRES = {"centering": "softmax"}
METHODS = {
    "dino": (DINO, DINOConfig, CENTRES),
    "dino-sinkhorn": (DINO, DINOConfig, {"centering": "sinkhorn"}),
    "ibot": (IBOT, IBOTConfig, CENTRES),
    # Its KoLeo looks for neighbours everywhere; that of DINOv2, as in the paper, does not.
    "dinov3": (DINOv3, DINOv3Config, {"gram_start_step": 0}),
    "dinov3-softmax": (DINOv3, DINOv3Config, {"gram_start_step": 0, **CENTRES}),
    "simdinov2": (SimDINOv2, SimDINOv2Config, {}),
}


def averaged(gradient, world_size):
    """Do what DistributedDataParallel does; building one takes seconds."""
    if world_size > 1:
        dist.all_reduce(gradient)
    return gradient / world_size


def run(name, data, rank, world_size):
    """Take two steps and return losses, gradients of the second, and the method's state."""
    method_class, config_class, options = METHODS[name]
    small = {"hidden_dim": 16, "output_dim": 12}
    if name != "simdinov2":
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
    batch = Batch(
        views, torch.arange(len(views[0])), {"mask": data["mask"].chunk(world_size)[rank]}
    )
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

"""One process and two see the same loss, gradients, centres and teacher."""

import numpy as np
import pytest
import torch
import torch.distributed as dist

from lightly_core.contracts import Batch, RunContext
from lightly_core.testing import TinyTokens, shared_pair
from lightly_dino.dino import DINO
from lightly_dino.dino_config import DINOConfig
from lightly_dino.dinov2 import DINOv2
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.dinov3 import DINOv3
from lightly_dino.dinov3_config import DINOv3Config
from lightly_dino.dinov31 import DINOv31
from lightly_dino.dinov31_config import DINOv31Config
from lightly_dino.ibot import IBOT
from lightly_dino.ibot_config import IBOTConfig
from lightly_dino.simdino import SimDINO
from lightly_dino.simdino_config import SimDINOConfig
from lightly_dino.simdinov2 import SimDINOv2
from lightly_dino.simdinov2_config import SimDINOv2Config

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


def run(rank, name, data, world_size):
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
        method.teacher.update_from(method.student(), 0.5)
    views = [view.chunk(world_size)[rank] for view in data["views"]]
    extras = {"mask": data["mask"], "box": boxes_of(method, len(data["mask"]))}
    extras = {key: x.chunk(world_size)[rank] for key, x in extras.items()}
    batch = Batch(views, torch.arange(len(views[0])), extras, num_global=2)
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


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    views = [
        torch.randn(8, 3, size, size, generator=generator, dtype=torch.float64)
        for size in (32, 32, 16)
    ]
    # As many masked patches in both halves: both processes then have rows for all of them.
    mask = torch.zeros(8, 2, 16, dtype=torch.bool)
    for image, hidden in enumerate(
        [(2, 0), (0, 6), (4, 1), (0, 0), (5, 0), (0, 3), (1, 4), (0, 0)]
    ):
        for view, count in enumerate(hidden):
            mask[image, view, torch.randperm(16, generator=generator)[:count]] = True
    return {"views": views, "mask": mask}


@pytest.mark.processes
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_do_what_one_does(name, data):
    expected = run(0, name, data, 1)
    first, second = shared_pair().run(run, name, data, 2)
    mean = (first["losses"] + second["losses"]) / 2
    torch.testing.assert_close(mean, expected["losses"], rtol=1e-9, atol=1e-10)
    for result in (first, second):
        for part in ("gradients", "state"):
            torch.testing.assert_close(result[part], expected[part], rtol=1e-7, atol=1e-10)

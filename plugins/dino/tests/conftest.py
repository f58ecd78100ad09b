import numpy as np
import pytest
import torch

from lightly_core.config.options.method import RunFacts
from lightly_core.contracts import Batch, RunContext
from lightly_core.methods.requirements import build_method
from lightly_core.testing import TinyConv, TinyTokens
from lightly_dino.base_config import PrototypeConfig

FACTS = RunFacts(
    dataset_size=100, effective_batch_size=4, total_steps=40, steps_per_epoch=10, native_bf16=False
)


@pytest.fixture
def make_context():
    def make(**changes):
        values = {
            "dataset_size": 100,
            "global_batch_size": 4,
            "total_steps": 40,
            "steps_per_epoch": 10,
            "num_views": 2,
            "image_size": (32, 32),
        }
        return RunContext(**{**values, **changes})

    return make


@pytest.fixture
def build(make_context):
    """Build a method: `build(class, config class, backbone, context changes, **options)`."""

    def make(method_class, config_class, backbone=None, changes=None, seed=0, **options):
        small = {"hidden_dim": 32, "output_dim": 16}
        if issubclass(config_class, PrototypeConfig):
            small |= {"bottleneck_dim": 16, "output_dim": 24}
        torch.manual_seed(seed)
        config = config_class(**{**small, **options}).resolve(FACTS)
        model = backbone or TinyTokens()
        return build_method(method_class, config, model, make_context(**(changes or {})))

    return make


@pytest.fixture
def make_batch():
    """Two global views of 32 pixels and local ones of 16, with masks where a method has some."""

    def make(method=None, num_images=4, num_local=2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        sizes = [32, 32] + [16] * num_local
        views = [torch.randn(num_images, 3, size, size, generator=generator) for size in sizes]
        extras = {}
        draw = None if method is None else method.sample_extras()
        if draw is not None:
            drawn = [draw(np.random.default_rng([seed, index])) for index in range(num_images)]
            extras = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        indices = torch.arange(num_images)
        return Batch(views=views, indices=indices, extras=extras, num_global=2)

    return make


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return TinyConv()


@pytest.fixture
def train():
    """Take optimizer steps as a run does; return the losses."""

    def do(method, batch, steps, lr=1e-3, first=0):
        method.train()
        groups = [
            {"params": group.parameters, "lr": lr * group.lr_scale}
            for group in method.parameter_groups()
        ]
        optimizer = torch.optim.AdamW(groups)
        losses = []
        for step in range(first, first + steps):
            optimizer.zero_grad()
            loss = method.training_step(batch, step).loss
            loss.backward()
            method.before_step(step)
            optimizer.step()
            method.after_step(step + 1)
            losses.append(loss.item())
        return losses

    return do

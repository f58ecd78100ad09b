"""A method under test, and helpers that its checks share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightly_core.config.options.method import MethodConfig, RunFacts
from lightly_core.config.options.transform import TransformArgs
from lightly_core.config.reading.structure import structure
from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.methods.requirements import build_method
from lightly_core.testing.models import TinyConv

TOTAL_STEPS = 100
_FULL_SIZE = 64


@dataclass(frozen=True)
class MethodCase:
    """A method class, and what a method is built from.

    Attributes:
        method_class: The method.
        config_class: Its options.
        method_args: Options that differ from the defaults, for example to make the method small.
        wrapper: Returns a new backbone at each call.
        batch_size: Images in the batch.
        image_size: Side of the largest view in pixels.
    """

    method_class: type[Method[Any]]
    config_class: type[MethodConfig]
    method_args: Mapping[str, object] = field(default_factory=dict)
    wrapper: Callable[[], ModelWrapper] = TinyConv
    batch_size: int = 8
    image_size: int = 32

    def build(
        self, seed: int = 0, num_views: int | None = None, world_size: int = 1
    ) -> Method[Any]:
        """Return a new method in train mode.

        Args:
            seed: For the weights.
            num_views: Global views per image. None: the method's default.
            world_size: Number of processes that share the batch.
        """
        torch.manual_seed(seed)
        facts = RunFacts(
            dataset_size=10 * self.batch_size,
            effective_batch_size=self.batch_size,
            total_steps=TOTAL_STEPS,
            steps_per_epoch=10,
        )
        context = RunContext(
            dataset_size=facts.dataset_size,
            global_batch_size=self.batch_size,
            total_steps=TOTAL_STEPS,
            steps_per_epoch=facts.steps_per_epoch,
            world_size=world_size,
            num_views=num_views or self.config_class.default_transform().num_views,
            image_size=(self.image_size, self.image_size),
        )
        config = structure(self.method_args, self.config_class, path="method_args").resolve(facts)
        return build_method(self.method_class, config, self.wrapper(), context).train()

    def batch(self) -> Batch:
        """Return normalised views of random images; views of one image are similar."""
        return copy.deepcopy(self._batch)

    @cached_property
    def _batch(self) -> Batch:
        specs = self.config_class.default_transform().view_specs()
        largest = max(spec.size for spec in specs)
        generator = torch.Generator().manual_seed(0)

        def noise(size: int) -> Tensor:
            return torch.randn(self.batch_size, 3, size, size, generator=generator)

        images = noise(self.image_size)  # (B, 3, S, S)
        views: list[Tensor] = []
        crops: list[Tensor] = []
        for spec in specs:
            size = self.image_size if spec.size == largest else self.image_size // 2
            start = (self.image_size - size) // 2
            part = images[:, :, start : start + size, start : start + size]
            views.append(part + 0.3 * noise(size))
            if self.config_class.requires.crops:
                offset, side = start / self.image_size, size / self.image_size
                crops.append(torch.tensor([[offset, offset, side, side, 0, 0]] * self.batch_size))
        num_global = self.config_class.default_transform().num_views
        indices = torch.arange(self.batch_size)
        return Batch(views, indices, self.extras(), crops=crops, num_global=num_global)

    def extras(self) -> dict[str, Tensor]:
        """Return the method's extras for every image of a batch."""
        return copy.deepcopy(self._extras)

    @cached_property
    def _extras(self) -> dict[str, Tensor]:
        if self.method_class.sample_extras is Method.sample_extras:
            return {}
        make = self.build().sample_extras()
        if make is None:
            return {}
        made = [make(np.random.default_rng(index)) for index in range(self.batch_size)]
        return {name: torch.stack([extra[name] for extra in made]) for name in made[0]}

    def views_of(self, transform: TransformArgs) -> Batch:
        """Return a batch as in a run with this transform, from random images in full size."""
        stages = TwoStageTransform(transform, crops=self.config_class.requires.crops)
        shape = (self.batch_size, _FULL_SIZE, _FULL_SIZE, transform.source_channels)
        images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
        samples = [
            stages.sample(
                Image.fromarray(image) if transform.source_channels == 3 else image,
                np.random.default_rng(index),
                index,
            )
            for index, image in enumerate(images)
        ]
        pixels = [torch.stack(view) for view in zip(*(s.views for s in samples), strict=True)]
        sampled = [torch.stack(one) for one in zip(*(s.parameters for s in samples), strict=True)]
        crops = [torch.stack(one) for one in zip(*(s.crops for s in samples), strict=True)]
        indices = torch.arange(self.batch_size)
        return Batch(
            stages.views(pixels, sampled),
            indices,
            self.extras(),
            crops=crops,
            num_global=transform.num_views,
        )

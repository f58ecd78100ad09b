"""What plugins provide and what they are given: the contracts of the framework.

Letters used for shapes: B images on this process, C input channels, H and W pixels, D feature
channels, h and w feature positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lightly_core.config.method import MethodConfig
from lightly_core.optim.groups import ParameterGroup, default_parameter_groups
from lightly_core.parts.state import portable_state_dict

# --------------------------------------------------------------------------- models


@runtime_checkable
class ModelWrapper(Protocol):
    """A backbone as methods see it; any `torch.nn.Module` with these four methods is one."""

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w) and, where the model has one, ``cls_token`` (B, D).
        """
        ...

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool what `forward_features` returned.

        Returns:
            ``pooled_features`` (B, D, 1, 1).
        """
        ...

    def feature_dim(self) -> int:
        """Return D."""
        ...

    def get_model(self) -> nn.Module:
        """Return the user's own module, which is what gets exported."""
        ...

    # The members of `nn.Module` that the framework relies on.
    def parameters(self, recurse: bool = True) -> Iterable[nn.Parameter]: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def train(self, mode: bool = True) -> object: ...  # noqa: D102
    def eval(self) -> object: ...  # noqa: D102


class ModelLibrary(ABC):
    """How one library's models come in and go out; the target of a ``catalog.models`` record.

    Attributes:
        examples: Small models without prefix, one of each kind; the conformance checks try them.
        pickled_modules: Top-level modules whose classes a weights file of the library may hold as
            pickled objects, such as ``("ultralytics",)``; all others are refused.
        loads_weights: Whether `create` takes a file or URL as ``weights`` in `model_args`, loads it
            completely or not at all, and then fetches no weights of its own.
        weight_args: Arguments in `model_args` that only say where weights come from; without them
            the same network is built.
    """

    examples: ClassVar[Sequence[str]] = ()
    pickled_modules: ClassVar[Sequence[str]] = ()
    loads_weights: ClassVar[bool] = False
    weight_args: ClassVar[Sequence[str]] = ("weights",)

    @abstractmethod
    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> ModelWrapper:
        """Build the model called `name` (without the prefix).

        Raises:
            UnknownModelError: The library has no such model; the message offers near names.
            ConfigError: The library's constructor refuses `model_args`.
        """

    @abstractmethod
    def wrap(self, module: nn.Module, *, num_input_channels: int) -> ModelWrapper:
        """Wrap a module of this library that the user built."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Ask the installed library for its model names, without the prefix."""

    def save(self, module: nn.Module, path: Path) -> None:
        """Write the file that the library itself loads; by default the plain state dict."""
        torch.save(portable_state_dict(module), path)

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Bring tensors from another layout, in which weights are published, to that of `module`.

        Args:
            tensors: Contents of a weights file by name.
            module: As `ModelWrapper.get_model` returns it.

        Returns:
            Tensors under the names and in the shapes of `module`; by default they are returned as
            they are.
        """
        return tensors

    @abstractmethod
    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return Python code, ready to run, that loads `file` into a fresh model called ``model``.

        Args:
            name: Model name without prefix; None for a module that the user built.
            num_input_channels: As given to `create`.
            model_args: As given to `create`.
            file: What `save` wrote.
        """


# --------------------------------------------------------------------------- data


@dataclass
class Sample:
    """One image after the worker's stage.

    Attributes:
        index: Position in the source.
        views: One tensor (C, H, W) a view, uint8, or float32 in [0, 1] for sources above 8 bit.
        parameters: One float32 vector a view: what the device stage is to do, drawn in the
            worker so that it depends on nothing but seed, epoch and index.
        extras: Tensors that a method wants made in the worker (masks, positions).
        skipped: ``(index, name, reason)`` of the files that could not be read and whose place
            this image takes.
        view_id: See `Batch.view_ids`.
        crops: Where each view was cut out, one (6,) a view as in `Batch.crops`; empty where
            nobody asked.
        notes: ``(name, text)`` of what a library said while a file was read, set by the loader.
    """

    index: int
    views: list[Tensor]
    parameters: list[Tensor]
    extras: dict[str, Tensor] = field(default_factory=dict)
    skipped: list[tuple[int, str, str]] = field(default_factory=list)
    view_id: int = -1
    crops: list[Tensor] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Batch:
    """What a method's `training_step` gets.

    Attributes:
        views: One float tensor (B, C, H, W) a view, normalised; row i of each is image i.
        indices: Position of each image in the source, (B,) int64.
        extras: Stacked `Sample.extras`, first dimension B.
        view_ids: (B,) int64, always on the CPU. Where views repeat with period K
            (`MethodConfig.view_period`) the number ``place * K + epoch % K`` in [0, N * K) of an
            image's views; equal numbers mean equal views. -1 where they come only once: nothing
            repeats, or the image of that place could not be read and another one is shown. None
            is as -1 everywhere.
        crops: Where each view was cut out of its image, one float32 tensor (B, 6) a view, where
            the views are: left, top, width and height as shares of the image's width and height,
            in [0, 1], then 1 where the view is mirrored left-right, else 0, and the same for
            top-bottom. Empty unless the method's config asks (`MethodConfig.wants_crops`).
    """

    views: list[Tensor]
    indices: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    view_ids: Tensor | None = None
    crops: list[Tensor] = field(default_factory=list)


class Transform(ABC):
    """Makes the views of an image in two stages."""

    @abstractmethod
    def sample(
        self, image: Image.Image | np.ndarray, rng: np.random.Generator, index: int
    ) -> Sample:
        """First stage, in a worker: crop, resize, flip, and draw the second stage's parameters.

        Args:
            image: A decoded image: Pillow in mode L or RGB, or an array (H, W, C), uint8, or
                float32 in [0, 1].
            rng: The only source of randomness.
            index: Stored in the sample.
        """

    @abstractmethod
    def views(self, pixels: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
        """Second stage, on the training device: photometric changes and normalisation.

        Args:
            pixels: One tensor (B, C, H, W) a view on the training device, uint8 or float32 in
                [0, 1].
            parameters: One tensor (B, P) a view, on the CPU.

        Returns:
            One normalised float32 tensor (B, C, H, W) a view.
        """


# --------------------------------------------------------------------------- methods


@dataclass(frozen=True)
class RunContext:
    """What a method may know of the run.

    Attributes:
        dataset_size: Number of images.
        global_batch_size: Images in one forward over all processes.
        total_steps: Optimizer steps of the whole run.
        steps_per_epoch: Optimizer steps of one epoch.
        world_size: Number of processes.
        input_channels: C.
        num_views: Global views per image.
        image_size: Height and width of a global view in pixels.
        mean: What `Batch.views` were normalised with, for values in [0, 1], a number a channel.
        std: As `mean`.
        view_facts: Where views repeat (`MethodConfig.view_period`), all that they depend on, as
            data that JSON can hold: runs with equal facts get equal views for equal
            `Batch.view_ids`. Else empty.
    """

    dataset_size: int
    global_batch_size: int
    total_steps: int
    steps_per_epoch: int
    world_size: int = 1
    input_channels: int = 3
    num_views: int = 2
    image_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    view_facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class StepResult:
    """What one training step gives.

    Attributes:
        loss: Scalar with gradient.
        metrics: Scalars by name, detached, left on the device: ``train_loss/<part>`` for parts
            of the loss, ``schedule/<name>`` for scheduled values. No `.item()`.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)


class SampleExtras(Protocol):
    """Makes tensors that belong to an image and are drawn anew in every epoch."""

    def __call__(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Return tensors by name, of the same shape and type for every image.

        Args:
            rng: The only source of randomness. It follows from seed, epoch and image, and is
                another one than that of the views.
        """
        ...


class Method(nn.Module, ABC):
    """A pretraining method. It knows nothing of trainers, loggers, files or devices.

    Args:
        config: Options of the method, without "auto" values.
        model: Backbone to pretrain; registered as ``self.model``.
        context: Facts of the run.
    """

    def __init__(self, config: MethodConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.context = context

    @abstractmethod
    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step; no backward pass, no logging.

        Args:
            batch: The views of this process's images.
            step: Optimizer steps taken so far.
        """

    def parameter_groups(self) -> list[ParameterGroup]:
        """Split the trainable parameters; by default biases, norms and tokens get no decay."""
        return default_parameter_groups(self)

    def before_step(self, step: int) -> None:
        """Run between backward pass and optimizer step: here gradients may be taken away.

        Gradients are neither clipped nor, under 16-bit precision, unscaled yet. `step` counts the
        optimizer steps taken so far.
        """

    def after_step(self, step: int) -> None:
        """Run after each optimizer step: EMA updates, queues. `step` counts the one just taken."""

    def sample_extras(self) -> SampleExtras | None:
        """Return what makes `Batch.extras` for an image, such as masks; by default nothing does.

        It is called in the loader's workers, so it must be picklable and hold no tensors of the
        method.
        """
        return None

    def exported_wrapper(self) -> ModelWrapper:
        """Return the network that the user gets: the student, or an EMA teacher."""
        return self.model


# --------------------------------------------------------------------------- loggers


class Logger(ABC):
    """Where metrics go. Called on the first process only; an exception switches it off."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record scalars of one step; `step` never decreases."""

    def log_config(self, config: Mapping[str, object]) -> None:  # noqa: B027 - optional
        """Record the resolved configuration, nested plain data."""

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:  # noqa: B027 - optional
        """Record a picture, uint8 (H, W, 3)."""

    def log_artifact(self, path: Path) -> None:  # noqa: B027 - optional
        """Record a file that the run wrote."""

    def finish(self, status: str) -> None:  # noqa: B027 - optional
        """Close; `status` is ``finished``, ``interrupted`` or ``failed``. May be called twice."""

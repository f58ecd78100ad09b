"""The contracts of backbones: one network, and the library that it comes from.

Shapes: B images, C input channels, H and W pixels, D feature channels, h and w feature positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from lightly_core.parts.files import save_torch
from lightly_core.parts.state import portable_state_dict


class ModelWrapper(nn.Module, ABC):
    """A backbone as methods see it. Base class for wrappers.

    A module of the user that has the four methods without this base class is accepted too, see
    `WrapperLike`.
    """

    @abstractmethod
    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w) and, where the model has one, ``cls_token`` (B, D).
        """

    @abstractmethod
    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool what `forward_features` returned.

        Returns:
            ``pooled_features`` (B, D, 1, 1).
        """

    @abstractmethod
    def feature_dim(self) -> int:
        """Return D."""

    @abstractmethod
    def get_model(self) -> nn.Module:
        """Return the user's own module, which is what gets exported."""


@runtime_checkable
class WrapperLike(Protocol):
    """A `torch.nn.Module` with the methods of `ModelWrapper`, whatever its base class.

    `lightly_core.models.wrapping.build_model` accepts one as ``model=...``.
    """

    def forward_features(self, x: Tensor) -> dict[str, Tensor]: ...  # noqa: D102
    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]: ...  # noqa: D102
    def feature_dim(self) -> int: ...  # noqa: D102
    def get_model(self) -> nn.Module: ...  # noqa: D102

    # Members of `nn.Module` that the framework relies on.
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
        save_torch(portable_state_dict(module), path)

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Convert tensors from a layout in which weights are published to that of `module`.

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

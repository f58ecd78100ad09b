"""The contracts of backbones: a wrapped network, and the library that provides it.

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
    """Base class of wrappers. Methods use a backbone through these four methods.

    A user's module with the four methods but without this base class is accepted too, see
    `WrapperLike`.
    """

    @abstractmethod
    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w), and ``cls_token`` (B, D) if the model has one.
        """

    @abstractmethod
    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool the features that `forward_features` returned.

        Returns:
            ``pooled_features`` (B, D, 1, 1).
        """

    @abstractmethod
    def feature_dim(self) -> int:
        """Return D."""

    @abstractmethod
    def get_model(self) -> nn.Module:
        """Return the wrapped module, which is the one that gets exported."""


@runtime_checkable
class WrapperLike(Protocol):
    """A `torch.nn.Module` with the methods of `ModelWrapper`, whatever its base class.

    `lightly_core.models.wrapping.build_model` accepts it as ``model=...``.
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
    """Builds, wraps and exports the models of a library; the target of a `ModelsRecord`.

    Attributes:
        examples: Names of small models without prefix, one of each kind, for conformance checks.
        pickled_modules: Top-level modules whose classes a weights file of the library may contain
            as pickled objects, such as ``("ultralytics",)``. All others are refused.
        loads_weights: Whether `create` accepts a file or URL as ``weights`` in `model_args`, loads
            it completely or not at all, and then downloads no other weights.
        weight_args: Arguments in `model_args` that only select the weights. Without them the same
            network is built.
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
            UnknownModelError: The library has no such model. The message suggests similar names.
            ConfigError: The library's constructor refuses `model_args`.
        """

    @abstractmethod
    def wrap(self, module: nn.Module, *, num_input_channels: int) -> ModelWrapper:
        """Wrap a module of this library that the user has built."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the model names of the installed library, without the prefix."""

    def save(self, module: nn.Module, path: Path) -> None:
        """Write the file that the library itself loads. By default this is the state dict."""
        save_torch(portable_state_dict(module), path)

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Convert published weights to the names and shapes of `module`.

        Args:
            tensors: Contents of a weights file by name.
            module: Module that `ModelWrapper.get_model` returns.

        Returns:
            Tensors with the names and shapes of `module`. By default they are returned unchanged.
        """
        return tensors

    def building_code(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> Sequence[str]:
        """Return lines of Python that build the module of a wrapper with the library alone.

        They define ``model``, whose weights do not matter. By default a comment is returned.

        Args:
            name: Model name without prefix.
            num_input_channels: Argument given to `create`.
            model_args: Argument given to `create`.
        """
        return ("# model: built in the same way as for the run",)

    @abstractmethod
    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return runnable Python code that loads `file` into a new model called ``model``.

        Args:
            name: Model name without prefix; None: a module that the user has built.
            num_input_channels: Argument given to `create`.
            model_args: Argument given to `create`.
            file: File that `save` has written.
        """

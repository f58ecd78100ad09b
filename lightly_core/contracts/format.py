"""The contract of export formats: what `lightly export` gives to a format, and what it gets back.

Shapes: B images, C channels, H and W pixels, D feature channels, E dimension of the layer of
``embed_dim``, h and w feature positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, cast

from torch import Tensor, nn

from lightly_core.contracts.model import ModelLibrary, ModelWrapper

#: Computes one or several tensors from normalised images (B, C, H, W).
Outputs = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input.

    The image is resized, its centre is cropped to `size`, its values are scaled to [0, 1], and
    then normalised.

    Attributes:
        size: Height and width of the input in pixels.
        mean: Mean of each channel, of values in [0, 1].
        std: Standard deviation of each channel.
        interpolation: ``bilinear`` or ``bicubic``, antialiased.
        num_channels: C.
        value_range: Values of pixels that become 0 and 1; None: those of the number type, such as
            0 and 255.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    num_channels: int
    value_range: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "image_size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "num_channels": self.num_channels,
            "value_range": None if self.value_range is None else list(self.value_range),
        }


@dataclass(frozen=True)
class ExportedNetwork:
    """A network that a format writes. All modules are on the CPU and in eval mode.

    Attributes:
        part: ``model``: the library's own module; ``wrapped_model``: the module with the methods
            that compute features; ``embedding_model``: the same, with the layer of ``embed_dim``
            if there is one.
        wrapper: Computes the features, without the layer of ``embed_dim``.
        embedding: The wrapper with the layer of ``embed_dim``, or `wrapper` if there is none.
        library: The library of the model; None for a user's own wrapper.
        name: Full name, such as ``torchvision/resnet18``; None for a module or wrapper.
        model_args: Arguments of the library's constructor, without those that select weights.
        preprocessing: The input of the network.
        facts: Metadata for formats that can store text by name.
    """

    part: str
    wrapper: ModelWrapper
    embedding: ModelWrapper
    library: ModelLibrary | None
    name: str | None
    model_args: Mapping[str, object]
    preprocessing: Preprocessing
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> nn.Module:
        """The module of the part."""
        if self.part == "model":
            return self.wrapper.get_model()
        wrapper = self.embedding if self.part == "embedding_model" else self.wrapper
        return cast(nn.Module, wrapper)

    @property
    def short_name(self) -> str | None:
        """Name of the model without its library."""
        return None if self.name is None else self.name.partition("/")[2]

    @property
    def title(self) -> str:
        """Name of the model for messages."""
        return self.name or type(self.wrapper.get_model()).__name__


@dataclass(frozen=True)
class Written:
    """What a format has written.

    Attributes:
        any_size: Whether the file takes images of other sizes than that of the preprocessing.
        any_batch: Whether it takes any number of images.
        notes: Sentences for the user, such as why the size is fixed.
    """

    any_size: bool = True
    any_batch: bool = True
    notes: tuple[str, ...] = ()


class ExportFormat(ABC):
    """A format of `lightly export`; the target of a `FormatRecord`. It is built without arguments.

    Attributes:
        tolerance: Largest allowed difference between the outputs of the network and those of the
            file, as a fraction of the largest absolute value.
    """

    tolerance: ClassVar[float] = 1e-4

    def problem(self, network: ExportedNetwork) -> str | None:
        """Return why the format cannot hold a network; None: it can. Nothing is written."""
        return None

    @abstractmethod
    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Write the file, or create the folder.

        Args:
            network: The network; it must not be changed.
            path: Nothing is there. The file is moved to its place after `reload` has been checked.

        Raises:
            ConfigError: The format cannot hold this network, and why.
        """

    @abstractmethod
    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return runnable Python code that loads the file into ``model``.

        Args:
            network: The network.
            path: Where the file will be.
        """

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs | None:
        """Load the written file with the tool that it is for, to compare it with `expected`.

        Returns:
            A function of images; None where the file cannot be loaded on this machine.
        """
        return None

    def expected(self, network: ExportedNetwork) -> Outputs:
        """Return the function of images that `reload` must reproduce."""
        from lightly_core.contracts.outputs import outputs_of

        return outputs_of(network)

"""The base of libraries whose models timm builds and Meta publishes: DINOv2 and DINOv3.

It is here and not in the core, since it needs timm: the core works with no model library installed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from torch import Tensor, nn

from lightly_core.contracts import ModelLibrary
from lightly_core.download import fetch
from lightly_core.errors import unknown_model
from lightly_core.exporting.snippets import (
    BUILT_AS_FOR_THE_RUN,
    LOAD_STRICTLY,
    loading_code,
    model_call,
)
from lightly_core.exporting.weights import read_weights
from lightly_timm.published import build, load_complete, same_tensors, split_arguments
from lightly_timm.wrapper import TimmWrapper


class MetaModel(Protocol):
    """What the base needs to know of a model."""

    @property
    def timm_name(self) -> str:
        """Name of the architecture in timm."""

    @property
    def hub_name(self) -> str | None:
        """Name in Meta's ``torch.hub`` code, None where it has no such model."""


ModelT = TypeVar("ModelT", bound=MetaModel)


class MetaLibrary(ModelLibrary, Generic[ModelT]):
    """Builds models by name, loads Meta's weights, and writes the code that loads an export.

    A subclass defines the attributes, the abstract methods, and `save` and `translate_weights`,
    which convert between timm's layout and Meta's.

    Attributes:
        prefix: Name of the library, as in ``dinov2/vits14``; also that of Meta's repository.
        title: Name of the library in messages.
        models: All models by name.
        hub_takes_channels: Whether Meta's functions take a number of input channels.
        hub_notes: Further comment lines on Meta's code.
    """

    loads_weights: ClassVar[bool] = True
    prefix: ClassVar[str]
    title: ClassVar[str]
    models: Mapping[str, ModelT]
    hub_takes_channels: ClassVar[bool] = True
    hub_notes: ClassVar[Sequence[str]] = ()

    # ---------------------------------------------------------------- for subclasses

    @abstractmethod
    def family(self, model: ModelT | None) -> type[nn.Module] | None:
        """Return timm's class of a model.

        Args:
            model: An entry of `models`; None for a module that the user built.

        Returns:
            The class; None where users can have built a module of several classes.
        """

    @abstractmethod
    def fixed_arguments(self, model: ModelT, num_input_channels: int) -> dict[str, object]:
        """Return the arguments of the constructor that users may not set."""

    @abstractmethod
    def source(self, name: str, model: ModelT) -> str | None:
        """Return the path or URL of Meta's weights, None for a model with random weights.

        Raises:
            ConfigError: The file is missing, and only the user can download it.
        """

    @abstractmethod
    def mismatch(
        self,
        tensors: Mapping[str, Tensor],
        translated: Mapping[str, Tensor],
        module: nn.Module,
        name: str,
    ) -> str | None:
        """Find the likely reason why a file does not fit a model.

        Args:
            tensors: Contents of the file.
            translated: The same in timm's layout.
            module: The model.
            name: Its name.

        Returns:
            The reason, and on a second line the remedy. None where no reason is found.
        """

    @abstractmethod
    def load_lines(self, model: ModelT | None) -> Sequence[str]:
        """Return code that loads ``state_dict`` into ``model`` with ``checkpoint_filter_fn``.

        Args:
            model: As in `family`.
        """

    def default_arguments(self, model: ModelT) -> dict[str, object]:
        """Return the arguments of the constructor that users may set to other values."""
        return {}

    def prepare(self, module: nn.Module) -> None:
        """Change a new model before weights are loaded. By default nothing is changed."""

    def prepare_lines(self, model: ModelT) -> Sequence[str]:
        """Return code that does the same as `prepare`."""
        return ()

    def checksum(self, source: str) -> str | None:
        """Return the first digits of a file's SHA-256, None where they are not known."""
        return None

    # ---------------------------------------------------------------- ModelLibrary

    def names(self) -> Sequence[str]:
        """Return the names of all models."""
        return tuple(self.models)

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> TimmWrapper:
        """Build a model and load its weights, completely or not at all.

        Args:
            name: One of `names`; those with ``-notpretrained`` start from random weights.
            num_input_channels: Channels of the images.
            model_args: ``weights``, and arguments of timm's constructor.

        Raises:
            UnknownModelError: There is no such model.
            ConfigError: An argument is wrong, or the weights cannot be fetched or do not fit.
        """
        model = self._find(name)
        arguments, weights = split_arguments(model_args)
        source = weights or self.source(name, model)
        family = self.family(model)
        assert family is not None
        module = build(
            model.timm_name,
            family,
            fixed=self.fixed_arguments(model, num_input_channels),
            arguments={**self.default_arguments(model), **arguments},
            model=f"{self.prefix}/{name}",
        )
        self.prepare(module)
        if source is not None:
            self._load(module, source, name)
        return self.wrap(module, num_input_channels=num_input_channels)

    @abstractmethod
    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TimmWrapper:
        """Wrap a model that was built as `create` builds it."""

    def building_code(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> Sequence[str]:
        """Return lines that build the model with timm alone."""
        model = self._find(name)
        given = self._arguments(model, num_input_channels, split_arguments(model_args)[0])
        call = model_call("timm.create_model", model.timm_name, given)
        return ("import timm", call, *self.prepare_lines(model))

    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return code that needs torch and timm only; comments show how Meta's code loads it."""
        if name is None:
            return self._code(None, BUILT_AS_FOR_THE_RUN, self.load_lines(None), file)
        model = self._find(name)
        arguments, _ = split_arguments(model_args)
        given = self._arguments(model, num_input_channels, arguments)
        load = list(self.load_lines(model))
        if same_tensors(arguments):
            load += self._hub_lines(model, num_input_channels)
        return self._code(
            model, model_call("timm.create_model", model.timm_name, given), load, file
        )

    def _arguments(
        self, model: ModelT, num_input_channels: int, arguments: Mapping[str, object]
    ) -> dict[str, object]:
        fixed = self.fixed_arguments(model, num_input_channels)
        return {**self.default_arguments(model), **arguments, **fixed}

    def _find(self, name: str) -> ModelT:
        if name not in self.models:
            raise unknown_model(self.title, name, self.models)
        return self.models[name]

    def _load(self, module: nn.Module, source: str, name: str) -> None:
        """Load a file into a model completely, or raise and give the reason."""
        model = f"{self.prefix}/{name}"
        file = fetch(source, sha256=self.checksum(source), what=f"weights of {model}")
        tensors = read_weights(file)
        translated = self.translate_weights(tensors, module)
        reason = self.mismatch(tensors, translated, module, name)
        load_complete(module, translated, file=file.name, model=model, reason=reason)

    def _code(self, model: ModelT | None, built: str, load: Sequence[str], file: Path) -> str:
        family = self.family(model)
        if family is None:
            lookup = "checkpoint_filter_fn = sys.modules[type(model).__module__]"
            return loading_code(
                file,
                imports=("import sys", "import torch"),
                model=(built, f"{lookup}.checkpoint_filter_fn"),
                load=load,
            )
        imports = (
            "import timm",
            "import torch",
            f"from {family.__module__} import checkpoint_filter_fn",
        )
        return loading_code(file, imports=imports, model=(built,), load=load)

    def _hub_lines(self, model: ModelT, num_input_channels: int) -> list[str]:
        """Return comments that show how Meta's code loads the file, nothing where it cannot."""
        usual = num_input_channels == 3
        if model.hub_name is None or not (usual or self.hub_takes_channels):
            return []
        channels = "" if usual else f", in_chans={num_input_channels}"
        call = f"'facebookresearch/{self.prefix}', {model.hub_name!r}, pretrained=False{channels}"
        return [
            "",
            "# The file is in Meta's layout, so their own code loads it as well:",
            f"# model = torch.hub.load({call})",
            f"# {LOAD_STRICTLY}",
            *self.hub_notes,
        ]

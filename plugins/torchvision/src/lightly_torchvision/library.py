"""torchvision's models by name, and modules of torchvision that the user built."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torchvision.models import get_model_builder, get_model_weights  # type: ignore[import-untyped]

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel, ModelLibrary
from lightly_core.errors import ConfigError, unknown_model, unknown_model_args
from lightly_core.exporting.snippets import loading_code, model_call
from lightly_core.exporting.weights import load_weights
from lightly_torchvision.huggingface import resnet_to_huggingface
from lightly_torchvision.names import classification_models
from lightly_torchvision.stem import first_convolution, use_input_channels, use_small_stem
from lightly_torchvision.wrapper import TorchvisionWrapper

_IMPORTS = ("import torch", "import torchvision")

#: Keys of `model_args` that are ours, not the constructor's.
OWN_ARGUMENTS = ("small_stem", "weights")


class TorchvisionLibrary(ModelLibrary):
    """Every classification model of the installed torchvision.

    `model_args` go to the model's constructor, except two keys:

    - ``small_stem`` (bool): for small images, see `lightly_torchvision.stem.use_small_stem`;
    - ``weights``: None (default) for random weights; a file with weights; or a name that
      torchvision knows, such as ``"DEFAULT"``, which torchvision downloads.
    """

    examples: ClassVar[Sequence[str]] = (
        "mobilenet_v3_small",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
    )

    def names(self) -> Sequence[str]:
        """Return the names of all classification models."""
        return classification_models()

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> TorchvisionWrapper:
        """Build a model.

        Args:
            name: As in ``torchvision.models.list_models()``.
            num_input_channels: Channels of the images; the first convolution is rebuilt if it is
                not 3.
            model_args: Arguments of the constructor, and our own keys.

        Raises:
            UnknownModelError: torchvision has no such classification model.
            ConfigError: An argument is wrong, or the weights cannot be fetched.
        """
        self._check_name(name)
        arguments, small_stem, weights = _split(model_args)
        file = _weights_file(weights)
        named_weights = weights if file is None else None
        model = _build(name, arguments, named_weights)
        _adapt(model, small_stem, num_input_channels, pretrained=named_weights is not None)
        wrapper = TorchvisionWrapper(model, num_input_channels)
        if file is not None:
            load_weights(wrapper, file)
        return wrapper

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TorchvisionWrapper:
        """Wrap a classification model of torchvision that the user built or changed.

        Args:
            module: Takes images (B, C, H, W), returns class scores or pooled features.
            num_input_channels: C.

        Raises:
            ConfigError: The model takes another number of channels, or no features can be found.
        """
        _, convolution = first_convolution(module)
        if convolution.in_channels != num_input_channels:
            raise ConfigError(
                f"this {type(module).__name__} takes images of {convolution.in_channels} channels, "
                f"but {num_input_channels} were requested\n  build it for {num_input_channels}, or "
                f"set {convolution.in_channels} (num_input_channels, or "
                "transform_args.num_channels in a run)"
            )
        return TorchvisionWrapper(module, num_input_channels)

    def building_code(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> Sequence[str]:
        """Return lines that build the model with torchvision alone."""
        arguments, small_stem, weights = _split(model_args)
        if weights is not None and _weights_file(weights) is None:
            arguments = {**_arguments_of_weights(name, weights), **arguments}
        with without_memory():
            twin = _build(name, arguments)
            edits = _adapt(twin, small_stem, num_input_channels, pretrained=False)
        call = model_call("torchvision.models.get_model", name, arguments)
        return (*_IMPORTS, call, *edits)

    def to_huggingface(self, network: ExportedNetwork) -> HuggingFaceModel:
        """Convert a ResNet; see `lightly_torchvision.huggingface`."""
        return resnet_to_huggingface(network)

    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return code that needs torch and torchvision only; see `ModelLibrary.snippet`."""
        if name is None:
            return loading_code(file)
        lines = self.building_code(
            name, num_input_channels=num_input_channels, model_args=model_args
        )
        return loading_code(file, imports=_IMPORTS, model=lines[len(_IMPORTS) :])

    def _check_name(self, name: str) -> None:
        known = self.names()
        if name in known:
            return
        raise unknown_model(
            f"torchvision {torchvision.__version__}",
            name,
            known,
            listing=f"`lightly models 'torchvision/*'` lists {len(known)} classification models",
        )


@contextmanager
def without_memory() -> Iterator[None]:
    """Build modules whose parameters are on the meta device, without drawing random numbers."""

    def to_meta(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter:
        return nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    # The hook returns a replacement, as documented, though torch's annotation has None.
    hook = register_module_parameter_registration_hook(cast(Callable[..., None], to_meta))
    try:
        # Some constructors sample values before they register the parameter.
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        hook.remove()


def _split(model_args: Mapping[str, object]) -> tuple[dict[str, object], bool, object]:
    """Return the constructor's arguments, ``small_stem`` and ``weights``."""
    arguments = {key: value for key, value in model_args.items() if key not in OWN_ARGUMENTS}
    small_stem = model_args.get("small_stem", False)
    if not isinstance(small_stem, bool):
        raise ConfigError(f"model_args.small_stem must be true or false, got {small_stem!r}")
    return arguments, small_stem, model_args.get("weights")


def _weights_file(weights: object) -> Path | None:
    """Return the file that ``weights`` names, None if it is not the name of a file."""
    if not isinstance(weights, (str, Path)):
        return None
    path = Path(weights)
    if path.is_file():
        return path
    if isinstance(weights, Path) or len(path.parts) > 1 or path.suffix in (".pt", ".pth", ".ckpt"):
        raise ConfigError(f"model_args.weights: there is no file {path}\n  check the path")
    return None


def _build(name: str, arguments: Mapping[str, object], weights: object = None) -> nn.Module:
    """Call torchvision's constructor and explain its errors."""
    try:
        with warnings.catch_warnings():
            # GoogLeNet and Inception announce a change of their initial weights.
            warnings.simplefilter("ignore", FutureWarning)
            model = get_model_builder(name)(**arguments, weights=weights)
    except OSError as error:
        raise ConfigError(
            f"cannot fetch weights {weights} of torchvision/{name}: {error}"
            "\n  download the file on a machine with network and pass its path as "
            "model_args.weights, or omit weights to start from random weights"
        ) from error
    except Exception as error:  # Constructors raise anything when arguments do not suit them.
        if not arguments and weights is None:
            raise
        raise _refused(name, arguments, weights, error) from error
    assert isinstance(model, nn.Module)
    if arguments and _takes_any_argument(model):
        known = _known_parameters(name)
        unknown = [key for key in arguments if key not in known]
        if unknown:
            raise _unknown_arguments(name, unknown, known)
    return model


def _takes_any_argument(model: nn.Module) -> bool:
    """Return whether the class ignores arguments that it does not know."""
    parameters = inspect.signature(type(model).__init__).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _refused(
    name: str, arguments: Mapping[str, object], weights: object, error: Exception
) -> ConfigError:
    """Return the error for arguments that a constructor refused."""
    known = _known_parameters(name)
    unknown = [key for key in arguments if key not in known]
    if isinstance(error, TypeError) and unknown:
        return _unknown_arguments(name, unknown, known)
    given = {**arguments, "weights": weights} if weights is not None else dict(arguments)
    return ConfigError(
        f"torchvision/{name} refuses model_args {given}: {error}\n  {_taken(name, known)}"
    )


def _unknown_arguments(name: str, unknown: Sequence[str], known: Sequence[str]) -> ConfigError:
    return unknown_model_args(
        f"torchvision/{name}", unknown, [*known, *OWN_ARGUMENTS], expected=_taken(name, known)
    )


def _taken(name: str, known: Sequence[str]) -> str:
    return f"{name} takes {', '.join(sorted({*known, *OWN_ARGUMENTS}))}"


def _known_parameters(name: str) -> list[str]:
    """Return the names of all arguments that a model's builder, or what it calls, understands."""
    return [*_constructor_parameters(name), *_helper_parameters(get_model_builder(name))]


def _constructor_parameters(name: str) -> list[str]:
    """Return the names of the arguments of a model's builder and class."""
    with without_memory():
        constructor = type(_build(name, {})).__init__
    parameters = [
        *inspect.signature(get_model_builder(name)).parameters.values(),
        *inspect.signature(constructor).parameters.values(),
    ]
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind is not parameter.VAR_KEYWORD
        and parameter.name not in ("self", "progress", "weights")
    ]


def _helper_parameters(builder: Callable[..., object]) -> list[str]:
    """Return the optional arguments of the functions that a builder hands its own on to."""
    builder = inspect.unwrap(builder)
    module = vars(sys.modules[builder.__module__])
    called = [module.get(name) for name in builder.__code__.co_names]
    return [
        parameter.name
        for function in called
        if inspect.isfunction(function) and function.__module__ == builder.__module__
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is not parameter.empty
    ]


def _arguments_of_weights(name: str, weights: object) -> dict[str, object]:
    """Return the arguments that torchvision itself changes when it loads named weights."""
    entry: Any = weights
    if isinstance(weights, str):
        entry = get_model_weights(name)[weights.rpartition(".")[2]]
    known = _constructor_parameters(name)
    changed: dict[str, object] = {}
    if "image_size" in known:
        changed["image_size"] = entry.meta["min_size"][0]
    if "transform_input" in known:
        changed["transform_input"] = True
    if name == "googlenet":
        changed["aux_logits"] = False  # It drops these heads unless they are requested.
    return changed


def _adapt(model: nn.Module, small_stem: bool, channels: int, *, pretrained: bool) -> list[str]:
    """Change the first layers; return the lines that do it."""
    edits = use_small_stem(model) if small_stem else []
    # A small stem has no weights worth keeping.
    more = use_input_channels(model, channels, pretrained=pretrained and not small_stem)
    if edits and more:
        # The second edit replaces the convolution of the first.
        edits = edits[1:]
    return [*edits, *more]

"""timm's models by name, and modules of timm that the user built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
from timm.models import get_arch_pretrained_cfgs, is_model
from torch import Tensor, nn

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel, ModelLibrary
from lightly_core.download import fetch
from lightly_core.errors import ConfigError, UnknownModelError, did_you_mean, unknown_model
from lightly_core.exporting.snippets import loading_code, model_call
from lightly_timm.anatomy import takes_channels
from lightly_timm.building import OWN_ARGUMENTS, SOURCES, build
from lightly_timm.folder import timm_to_huggingface
from lightly_timm.names import model_names
from lightly_timm.weights import load_file, translate
from lightly_timm.wrapper import TimmWrapper
from lightly_timm.wrapping import wrap_timm

_MOST_CHANNELS = 16


class TimmLibrary(ModelLibrary):
    """Every model of the installed timm.

    `model_args` go to `timm.create_model`, except ``weights``: path or URL of a file with
    pretrained weights in timm's or the authors' layout. By default weights are random. Models
    that can take images of any size are built to do so.
    """

    examples = ("test_resnet", "test_mambaout", "test_vit")
    weight_args = (*OWN_ARGUMENTS, *SOURCES)

    def names(self) -> Sequence[str]:
        """Return the architectures, and these with the tags of their weights."""
        return model_names()

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> TimmWrapper:
        """Build a model.

        Args:
            name: As in ``timm.list_models()``, with or without the tag of weights.
            num_input_channels: Channels of the images.
            model_args: Arguments of `timm.create_model`, and ``weights``.

        Raises:
            UnknownModelError: timm has no such model.
            ConfigError: An argument is wrong, or weights cannot be had or do not fit.
        """
        _check_name(name)
        arguments, file = _split(model_args)
        model, _ = build(name, num_input_channels, arguments)
        if file is not None:
            load_file(model, file, name)
        size = _built_for(arguments.get("img_size"))
        return wrap_timm(model, num_input_channels, image_size=size)

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TimmWrapper:
        """Wrap a module of timm that the user built or changed.

        Args:
            module: Takes images (B, C, H, W).
            num_input_channels: C.

        Raises:
            ConfigError: The model takes another number of channels, or no features can be found.
        """
        try:
            return wrap_timm(module, num_input_channels)
        except ConfigError:
            for channels in range(1, _MOST_CHANNELS + 1):
                if channels != num_input_channels and takes_channels(module, channels):
                    raise ConfigError(
                        f"this {type(module).__name__} takes images of {channels} channels, but "
                        f"{num_input_channels} were requested\n  build it with in_chans="
                        f"{num_input_channels}, or set {channels} (num_input_channels, or "
                        "transform_args.num_channels in a run)"
                    ) from None
            raise

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Convert tensors from layouts that timm knows to that of a module of timm.

        Args:
            tensors: Contents of a weights file by name.
            module: A module of timm.

        Returns:
            See `lightly_timm.weights.translate`.
        """
        return translate(tensors, module)

    def building_code(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> Sequence[str]:
        """Return lines that build the model with timm alone."""
        own = (*OWN_ARGUMENTS, *SOURCES)
        arguments = {key: value for key, value in model_args.items() if key not in own}
        _, arguments = build(name, num_input_channels, arguments, without_memory=True)
        return ("import timm", model_call("timm.create_model", name, arguments))

    def to_huggingface(self, network: ExportedNetwork) -> HuggingFaceModel:
        """Describe the model for transformers' wrapper of timm; see `lightly_timm.folder`."""
        return timm_to_huggingface(network)

    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return code that needs torch and timm only; see `ModelLibrary.snippet`."""
        if name is None:
            return loading_code(file)
        built = self.building_code(
            name, num_input_channels=num_input_channels, model_args=model_args
        )
        return loading_code(file, imports=("import timm", "import torch"), model=built[1:])


def _check_name(name: str) -> None:
    architecture, dot, tag = name.partition(".")
    library = f"timm {timm.__version__}"
    if ":" in name or "/" in name:
        raise UnknownModelError(
            f"timm/{name}: models of the Hugging Face Hub and of folders are not built by name"
            "\n  give timm's name of the architecture, and the file as model_args.weights"
        )
    if not is_model(architecture):
        listing = "`lightly models 'timm/*'` lists all"
        raise unknown_model(library, architecture, timm.list_models(), listing=listing)
    if not dot:
        return
    # A deprecated name of timm is an alias. The tags of the new name count.
    tagged = sorted(get_arch_pretrained_cfgs(architecture))
    if tagged and name not in tagged:
        remedy = did_you_mean(name, tagged, most=3) or f"known: {', '.join(tagged)}"
        raise UnknownModelError(f"{library} has no weights {tag!r} of {architecture}\n  {remedy}")


def _built_for(img_size: object) -> tuple[int, int] | None:
    """Return the requested image size (height, width)."""
    if isinstance(img_size, int):
        return img_size, img_size
    if isinstance(img_size, (list, tuple)) and len(img_size) == 2:
        return img_size[0], img_size[1]
    return None


def _split(model_args: Mapping[str, object]) -> tuple[dict[str, object], Path | None]:
    """Return the arguments of `timm.create_model`, and the file of weights."""
    arguments = {key: value for key, value in model_args.items() if key not in OWN_ARGUMENTS}
    weights = model_args.get("weights")
    if weights is None:
        return arguments, None
    others = [key for key in ("pretrained", "checkpoint_path") if arguments.get(key)]
    if others:
        raise ConfigError(
            f"model_args.weights and model_args.{others[0]} are both given\n  keep one of them"
        )
    if not isinstance(weights, (str, Path)):
        raise ConfigError(f"model_args.weights must be the path or URL of a file, got {weights!r}")
    if "://" in str(weights):
        return arguments, fetch(str(weights), what="weights of a timm model")
    path = Path(weights).expanduser()
    if path.is_file():
        return arguments, path
    raise ConfigError(
        f"model_args.weights: there is no file {path}\n  weights are given as a path or URL; for "
        "timm's own download set model_args.pretrained=true instead"
    )

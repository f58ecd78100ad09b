"""Build a wrapper from the user's ``model=``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from torch import nn

from lightly_core.contracts import ModelLibrary, ModelWrapper, WrapperLike
from lightly_core.download.rehearsal import is_rehearsal
from lightly_core.errors import ConfigError, PluginError
from lightly_core.models.unwrapping import unwrapped
from lightly_core.models.without_numbers import without_weights
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.plugins.records import ModelsRecord

#: Methods that a user's own wrapper needs, in addition to being a `torch.nn.Module`.
WRAPPER_METHODS = ("forward_features", "forward_pool", "feature_dim", "get_model")


@dataclass(frozen=True)
class BuiltModel:
    """A wrapper and its origin.

    Attributes:
        wrapper: The backbone.
        library: The library that built or wrapped it, None for a wrapper that the user wrote.
        name: Full name, for example ``torchvision/resnet18``, None for a module or wrapper.
        short_name: Name without the library, None for a module or wrapper.
        model_args: Arguments of the library's constructor.
        num_input_channels: Channels of the images.
    """

    wrapper: ModelWrapper
    library: ModelLibrary | None
    name: str | None
    short_name: str | None
    model_args: Mapping[str, object] = field(default_factory=dict)
    num_input_channels: int = 3


def get_wrapped_model(
    model: str | nn.Module | ModelWrapper,
    num_input_channels: int = 3,
    model_args: Mapping[str, object] | None = None,
) -> ModelWrapper:
    """Give a model the interface that methods use.

    Args:
        model: A name such as ``"torchvision/resnet18"``, a module of a library whose plugin is
            installed, or your own wrapper, which is returned unchanged.
        num_input_channels: Channels C of the images (B, C, H, W).
        model_args: Arguments of the library's constructor, for names only.

    Returns:
        A `torch.nn.Module` with ``forward_features``, ``forward_pool``, ``feature_dim`` and
        ``get_model``.

    Raises:
        UnknownModelError: No installed plugin provides the name.
        ConfigError: The module cannot be wrapped, or is scripted, traced or sharded over several
            devices, or `model_args` do not fit the model.
        PluginError: The plugin that provides the model cannot be used.
    """
    built = build_model(
        model,
        catalog=get_plugins().catalog,
        num_input_channels=num_input_channels,
        model_args=model_args,
    )
    return built.wrapper


def build_model(
    model: str | nn.Module | ModelWrapper,
    *,
    catalog: Catalog,
    num_input_channels: int = 3,
    model_args: Mapping[str, object] | None = None,
) -> BuiltModel:
    """Build a wrapper as `get_wrapped_model` does, and record its origin.

    Args:
        model: As in `get_wrapped_model`.
        catalog: Catalog of the installed plugins.
        num_input_channels: As in `get_wrapped_model`.
        model_args: As in `get_wrapped_model`.

    Raises:
        UnknownModelError: No installed plugin provides the name.
        ConfigError: The module cannot be wrapped, or `model_args` do not fit the model.
        PluginError: The plugin that provides the model cannot be used.
    """
    arguments = dict(model_args or {})
    if isinstance(model, str):
        record, short_name = catalog.model(model)
        maker = _library(record)
        given = arguments
        if is_rehearsal():
            given = without_weights(arguments, tuple(maker.weight_args))
        wrapper = maker.create(short_name, num_input_channels=num_input_channels, model_args=given)
        return BuiltModel(wrapper, maker, model, short_name, arguments, num_input_channels)
    if arguments:
        raise ConfigError(
            f"model_args: got {', '.join(arguments)} together with a {type(model).__name__}, "
            "expected them with a model name only\n  build the module with these arguments "
            "yourself, and remove model_args"
        )
    library: ModelLibrary | None = None
    if isinstance(model, nn.Module):
        model = unwrapped(model)
    if isinstance(model, nn.Module) and isinstance(model, WrapperLike):
        wrapper = cast(ModelWrapper, model)  # it has the methods, whatever its base class
    else:
        library, wrapper = _wrap(model, catalog, num_input_channels)
    return BuiltModel(wrapper, library, None, None, arguments, num_input_channels)


def _wrap(
    model: object, catalog: Catalog, num_input_channels: int
) -> tuple[ModelLibrary, ModelWrapper]:
    if not isinstance(model, nn.Module):
        raise ConfigError(_no_module(model))
    record = catalog.library_of(cls.__module__ for cls in type(model).__mro__)
    if record is None:
        raise ConfigError(_no_wrapper(model, catalog))
    library = _library(record)
    return library, library.wrap(model, num_input_channels=num_input_channels)


def _library(record: ModelsRecord) -> ModelLibrary:
    loaded = load_target(record)
    if not (isinstance(loaded, type) and issubclass(loaded, ModelLibrary)):
        raise PluginError(
            f"target {record.target} of {record.label} of {record.owner} is {loaded!r}, expected a "
            f"subclass of ModelLibrary\n  report this to the authors of {record.owner}"
        )
    return loaded()


def _no_module(model: object) -> str:
    if isinstance(model, type):
        return (
            f"model: got the class {model.__name__}, expected a model"
            f"\n  pass an instance: {model.__name__}(...)"
        )
    return (
        f"model: expected a name such as 'torchvision/resnet18', a torch.nn.Module or a wrapper, "
        f"got {type(model).__name__}"
        + (
            "\n  a wrapper also has to inherit from torch.nn.Module"
            if any(hasattr(model, method) for method in WRAPPER_METHODS)
            else ""
        )
    )


def _no_wrapper(model: nn.Module, catalog: Catalog) -> str:
    missing = [method for method in WRAPPER_METHODS if not hasattr(model, method)]
    inner = getattr(model, "module", None)  # as in AveragedModel and the wrappers of trainers
    hint = f"\n  or give the {type(inner).__name__} in it: model.module"
    roots = sorted({root for record in catalog.records("models") for root in record.wraps})
    return (
        f"model: cannot find the features of a {type(model).__module__}.{type(model).__name__}"
        f"\n  modules of these libraries can be used: {', '.join(roots) or 'none is installed'}"
        f"{hint if isinstance(inner, nn.Module) else ''}"
        '\n  name the features: model=lightly_core.wrap(model, features="...")'
        f"\n  or make the class a wrapper, by adding the methods {', '.join(missing)}"
        "\n  or write a wrapper class around it, see `lightly_core.ModelWrapper`"
    )

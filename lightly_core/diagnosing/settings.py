"""The settings of `lightly doctor`, as those of a run with the same images. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import fields_dict

from lightly_core.config.options.doctor import DoctorConfig
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.config.reading.load import Settings, load_settings
from lightly_core.data.check import check_data
from lightly_core.errors import PluginError
from lightly_core.plugins.catalog import Catalog

#: Settings that have no effect without images.
_OF_IMAGES = ("model", "method", "method_args", "model_args", "transform_args")
#: Settings that are those of a run.
_SHARED = (*_OF_IMAGES, "data", "batch_size", "accelerator", "precision")


def doctor_problems(config: DoctorConfig) -> Iterator[str]:
    """Yield the settings that have no effect, as others are missing."""
    if config.data is None:
        for name in _OF_IMAGES:
            if getattr(config, name) is not None:
                yield f"config.{name}: it has no effect without images; give data too"
    elif config.model is None and config.model_args is not None:
        yield "config.model_args: it has no effect without a model; give model too"


def run_settings(config: DoctorConfig, catalog: Catalog) -> Settings:
    """Return the settings of a run with these images, method and model.

    Args:
        config: Settings of the doctor, with `data`.
        catalog: What the plugins provide.

    Raises:
        ConfigError: Settings are wrong. The error names all mistakes.
        PluginError: A plugin that they need cannot be used, or no method is installed.
    """
    given = {name: getattr(config, name) for name in _SHARED}
    given = {name: value for name, value in given.items() if value is not None}
    given.setdefault("method", default_method(catalog))
    return unwritten_settings(given, catalog)


def unwritten_settings(given: Mapping[str, object], catalog: Catalog) -> Settings:
    """Return the settings of a run that writes nothing, and without a model builds none.

    Args:
        given: Settings without `out`.
        catalog: What the plugins provide.

    Raises:
        ConfigError: Settings are wrong. The error names all mistakes.
        PluginError: A plugin that they need cannot be used.
    """
    arguments = {"out": "unused", "model": PythonObject(None), **given}
    return load_settings(
        catalog=catalog, arguments=arguments, checks=(check_data,), check_files=True
    )


def default_method(catalog: Catalog) -> str:
    """Return the default method, or another one if it is not installed.

    Raises:
        PluginError: No method is installed.
    """
    names = catalog.usable_names("method")
    if not names:
        raise PluginError(
            "no method is installed, so the views of the images are not known"
            "\n  pip install lightly-methods"
        )
    default = str(fields_dict(RunConfig)["method"].default)
    return default if default in names else names[0]

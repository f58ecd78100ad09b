"""Selects the transform that `transform_args.name` names."""

from __future__ import annotations

import attrs

from lightly_core.config.options.transform import DEFAULT_TRANSFORM, TransformArgs
from lightly_core.errors import PluginError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import TransformRecord


def choose_transform(
    catalog: Catalog, name: str, views: TransformArgs
) -> tuple[TransformRecord | None, TransformArgs]:
    """Return the record of the transform (None: the built-in one) and its default options.

    The defaults of a plugin's transform are its own, except for fields that the method's
    augmentation has too: these are set to the method's values.

    Args:
        catalog: Records of all plugins.
        name: Value of ``transform_args.name``.
        views: The method's default augmentation.

    Raises:
        ConfigError: No plugin provides the name.
        PluginError: The plugin's option class is not a subclass of `TransformArgs`.
    """
    if name == DEFAULT_TRANSFORM:
        return None, views
    record = catalog.get("transform", name)
    config_cls = load_config(record)
    if not issubclass(config_cls, TransformArgs):
        raise PluginError(
            f"config of {record.label}: expected a subclass of TransformArgs, got {config_cls!r}"
            f"\n  report this to the authors of {record.owner}"
        )
    shared = {field.name for field in attrs.fields(type(views))} & {
        field.name for field in attrs.fields(config_cls)
    }
    base = config_cls(**{field: getattr(views, field) for field in shared} | {"name": name})
    return record, base

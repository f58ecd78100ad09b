"""Reads the groups of settings whose defaults depend on the method. No heavy imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import attrs
from attrs import define

from lightly_core.config.options.fields import canonical
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.optim import OPTIMIZERS, OptimizerArgs
from lightly_core.config.options.requires import Requires
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.transform import DEFAULT_TRANSFORM, TransformArgs
from lightly_core.config.reading.merging import Layers
from lightly_core.config.reading.problems import Problems
from lightly_core.config.reading.recipes import Defaults
from lightly_core.config.reading.structure import structure
from lightly_core.config.reading.transform_choice import choose_transform
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.records import MethodRecord, TransformRecord

T = TypeVar("T")


@define(frozen=True, kw_only=True)
class MethodGroups:
    """Checked groups of settings whose defaults depend on the method, all complete.

    Attributes:
        method: Options of the method.
        transform: Options of the augmentation.
        transform_record: Record of the transform; None: the built-in one.
        optimizer_name: Name of the optimizer, never "auto".
        optimizer: Options of optimizer and schedule.
    """

    method: MethodConfig
    transform: TransformArgs
    transform_record: TransformRecord | None
    optimizer_name: str
    optimizer: OptimizerArgs


def read_method_groups(
    catalog: Catalog,
    layers: Layers,
    record: MethodRecord | None,
    defaults: Defaults,
    problems: Problems,
) -> MethodGroups | None:
    """Check the groups on top of a method's defaults.

    Args:
        catalog: Records of all plugins.
        layers: The given settings.
        record: Record of the method; None: there is no such method, so only the options of the
            optimizer can be checked.
        defaults: What the method sets.
        problems: Mistakes are added to it.

    Returns:
        The groups; None: there are mistakes.
    """
    name = optimizer_name(layers, defaults)
    optimizer = None if name is None else _read_optimizer(layers, name, defaults, problems)
    if record is None:
        return None
    method = read_group(layers, "method_args", defaults.config_cls, defaults.method(), problems)
    found = _transform(catalog, layers, record, defaults, problems)
    if name is None or optimizer is None or method is None or found is None:
        return None
    transform_record, transform = found
    return MethodGroups(
        method=method,
        transform=transform,
        transform_record=transform_record,
        optimizer_name=name,
        optimizer=optimizer,
    )


def optimizer_name(layers: Layers, defaults: Defaults) -> str | None:
    """Return the name of the optimizer; None: there is none of that name."""
    field = attrs.fields_dict(RunConfig)["optim"]
    name = canonical(field, layers.merged(RunConfig).get("optim", "auto"))
    if name == "auto":
        return defaults.optimizer_name(layers)
    return name if isinstance(name, str) and name in OPTIMIZERS else None


def _read_optimizer(
    layers: Layers, name: str, defaults: Defaults, problems: Problems
) -> OptimizerArgs | None:
    """Check the options of an optimizer; None: there are mistakes."""
    base = defaults.optimizer(name)
    return read_group(layers, "optim_args", type(base), base, problems)


def read_group(
    layers: Layers, name: str, cls: type[T], base: T | None, problems: Problems
) -> T | None:
    """Check a group on top of `base`; None: there are mistakes."""
    given = layers.merged_group(name, cls)
    return problems.attempt(lambda: structure(given, cls, path=f"config.{name}", base=base))


def _transform(
    catalog: Catalog,
    layers: Layers,
    record: MethodRecord,
    defaults: Defaults,
    problems: Problems,
) -> tuple[TransformRecord | None, TransformArgs] | None:
    name = layers.merged_group("transform_args", None).get("name", DEFAULT_TRANSFORM)
    views = defaults.views(layers)
    found = problems.attempt(
        lambda: choose_transform(catalog, str(name), views), at="config.transform_args.name"
    )
    transform_record, base = found or (None, views)
    transform = read_group(layers, "transform_args", type(base), base, problems)
    if transform is None:
        return None
    requires, num_global = defaults.config_cls.requires, transform.num_views
    num_local = len(transform.view_specs()) - num_global
    problems.add(*requires.view_problems(record.name, num_global, num_local))
    problems.add(*_unknown_crops(requires, transform))
    return transform_record, transform


def _unknown_crops(requires: Requires, transform: TransformArgs) -> Iterator[str]:
    rotated = any(spec.random_rotation is not None for spec in transform.view_specs())
    if requires.crops and rotated:
        yield (
            "config.transform_args.random_rotation: the method needs the position of each view, "
            "which rotated images do not have; set it to None"
        )

"""Generates `docs/method-settings.md`: options and defaults of every installed method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lightly_core.config.docs.tables import class_table, rows
from lightly_core.config.options.fields import settings_fields
from lightly_core.config.options.method import MethodConfig, small_recipe
from lightly_core.config.options.optim import OPTIMIZERS, AdamArgs, AdamWArgs
from lightly_core.config.options.short_runs import SMALL_SIDE, SmallRecipe
from lightly_core.config.options.transform import MultiCropTransformArgs
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import MethodRecord

_HEAD = """# Settings of each method

Generated from the option classes of the plugins by `python -m lightly_core.config.docs`. Do not
edit this page.

[methods.md](methods.md) compares the methods, and [settings.md](settings.md) lists the settings of
all runs. A section lists the options of a method (`method_args`), then the values of `optim_args`
and of `transform_args` that differ from the defaults in settings.md. With `optim=adam`, a method
uses its values for `adamw`, without the decay. `lightly run method=NAME --help` lists all values.
`recipe=small` lists what differs in short runs, see [first-hour.md](first-hour.md). With few images
`epochs=auto` is smaller than the number of steps gives, see
[running.md](running.md#what-auto-means).
"""


def method_settings_page() -> str:
    """Return `docs/method-settings.md`."""
    others = other_names()
    sections = [
        method_section(record, others.get(record.name, []))
        for record in sorted(get_plugins().catalog.records("method"), key=_name)
        if record.alias_of is None
    ]
    return "\n".join([_HEAD, *sections])


def other_names() -> Mapping[str, list[str]]:
    """Return the other names of each method that has some."""
    names: dict[str, list[str]] = {}
    for record in sorted(get_plugins().catalog.records("method"), key=_name):
        if record.alias_of is not None:
            names.setdefault(record.alias_of, []).append(record.name)
    return names


def _name(record: MethodRecord) -> str:
    return record.name


def method_section(record: MethodRecord, others: Sequence[str]) -> str:
    """Return the section of a method in `docs/method-settings.md`.

    Args:
        record: The method.
        others: Its other names.
    """
    config = load_config(record)
    assert issubclass(config, MethodConfig)
    parts = [f"## `{record.name}`", record.summary, "\n".join(_facts(config, others))]
    if settings_fields(config):
        parts.append(class_table(config, "method_args"))
    differing = {name: _optimizer_values(config, name) for name in OPTIMIZERS}
    lines = [f"| `{name}` | {_listed(values)} |" for name, values in differing.items() if values]
    if lines:
        parts.append("\n".join(["| `optim` | `optim_args` |", "|---|---|", *lines]))
    views = _transform_values(config)
    if views:
        lines = [f"| `{name}` | `{value}` |" for name, value in views.items()]
        parts.append("\n".join(["| `transform_args` | Default |", "|---|---|", *lines]))
    small = small_recipe(config)
    if small is not None:
        groups = _short_runs(config, small)
        lines = [f"| {name} | {_listed(given)} |" for name, given in groups if given]
        parts.append("\n".join(["| `recipe=small` | Values |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def _facts(config: type[MethodConfig], other_names: Sequence[str]) -> Iterator[str]:
    """Yield one line for each fact about a method that is not one of its options."""
    if other_names:
        yield f"- Other names: {', '.join(f'`{name}`' for name in other_names)}."
    yield f"- `optim=auto` is `{config.optimizer}`."
    yield f"- `epochs=auto` aims at {config.target_steps:,} steps."
    yield from (f"- {sentence}" for sentence in config().requirements().sentences())
    if config.gradient_clip_val is not None:
        yield f"- Gradients are clipped to a norm of {config.gradient_clip_val:g}."
    if config.spread_is_free:
        yield "- A collapse is reported only if the features of all images are nearly equal."
    missing = _names(MultiCropTransformArgs) - _names(type(config.default_transform()))
    if missing:
        keys = " and ".join(f"`{name}`" for name in sorted(missing))
        yield f"- `transform_args` has no {keys}."


def _names(cls: type) -> set[str]:
    return {field.name for field in settings_fields(cls)}


def _optimizer_values(config: type[MethodConfig], name: str) -> Mapping[str, str]:
    values, adamw = config.default_optimizer(name), config.default_optimizer("adamw")
    if isinstance(adamw, AdamWArgs) and values == AdamArgs.like(adamw):
        return {}
    return _differences(config.default_optimizer(name), OPTIMIZERS[name])


def _transform_values(config: type[MethodConfig]) -> Mapping[str, str]:
    return _differences(config.default_transform(), MultiCropTransformArgs)


def _short_runs(
    config: type[MethodConfig], small: SmallRecipe
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield groups and what `recipe=small` sets in them, without what the paper sets too."""
    yield "`method_args`", _changed(config(), config(**small.method_args))
    for name, values in small.optimizers.items():
        yield f"`optim_args` of `{name}`", _differences(values, OPTIMIZERS[name])
    paper = config.default_transform()
    large, tiny = (small.views(paper, side) for side in (SMALL_SIDE + 1, SMALL_SIDE))
    yield "`transform_args`", _changed(paper, large)
    views = f"`transform_args`, views of at most {SMALL_SIDE} pixels"
    yield views, _changed(large, tiny)


def _changed(old: object, new: object) -> Mapping[str, str]:
    """Return the values of an instance that differ from those of another one, or of a class."""
    before = {row.name: row.default for row in rows(old, "")}
    values = {row.name: row.default for row in rows(new, "")}
    return {
        name: value
        for name, value in values.items()
        if before.get(name) != value and not _switched_off(name, values)
    }


def _differences(options: object, reference: type) -> Mapping[str, str]:
    """Return the values of an instance that differ from the defaults of a class, by name."""
    return _changed(reference, options)


def _switched_off(name: str, values: Mapping[str, str]) -> bool:
    """Return whether an option belongs to a group that is switched off."""
    groups = [name[:index] for index, letter in enumerate(name) if letter == "."]
    return any(values[group] in ("off", "same") for group in groups)


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in values.items())

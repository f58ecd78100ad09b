"""The table of a dry run: what the run will do, and what "auto" and the user chose."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import frozen

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.reasons import auto_reasons
from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.config.options.fields import NO_DEFAULT, default_of, plain, settings_fields
from lightly_core.config.options.transform import DEFAULT_TRANSFORM
from lightly_core.config.reading.load import Settings
from lightly_core.data.names import shown
from lightly_core.engine.plan.plan import Plan
from lightly_core.engine.plan.size import size_rows
from lightly_core.reporting.settings import flat

#: Settings that have a row of their own, whether they differ from their defaults or not.
_ROWS = frozenset(
    {
        *("out", "data", "val_data", "model", "method", "epochs", "batch_size", "num_workers"),
        *("in_memory", "devices", "accelerator", "strategy", "precision", "optim"),
        "recipe",
    }
)
_NO_SIZE = "not counted, as the networks were not built; --build builds them"


@frozen
class Row:
    """A row of the table.

    Attributes:
        name: What it is about, the name of a setting where it is one.
        value: Its value.
        note: Why "auto" chose the value, or the default that was replaced; None: it is the default.
    """

    name: str
    value: str
    note: str | None = None

    @property
    def text(self) -> str:
        """The value with the note."""
        return self.value if self.note is None else f"{self.value}  [{self.note}]"


def plan_text(plan: Plan, machine: Machine, width: int | None = None) -> str:
    """Return the table of a dry run.

    Args:
        plan: What it has found out.
        machine: Facts about the machine, for the reasons of "auto".
        width: Columns of the terminal, to which values are wrapped; None: they are not wrapped.
    """
    rows = plan_rows(plan, machine)
    indent = max(len(row.name) for row in rows) + 2
    lines = []
    for row in rows:
        text = f"{row.name:<{indent}}{row.text}"
        wrapped = [text] if width is None else _wrapped(text, indent, width)
        lines += wrapped
    return "\n".join(lines)


def plan_rows(plan: Plan, machine: Machine) -> list[Row]:
    """Return the rows of the table of a dry run."""
    resolved = plan.resolved
    reasons = auto_reasons(plan.settings, resolved, machine)
    notes = {name: f"auto: {reason}" for name, reason in reasons.items()}
    notes |= {name: f"default: {default}" for name, default in _replaced(plan.settings)}
    rows = [
        *_data_rows(resolved),
        *_length_rows(resolved),
        *_network_rows(plan),
        *_hardware_rows(resolved),
    ]
    marked = [attrs.evolve(row, note=notes.get(row.name)) for row in rows]
    changed = [f"{name}={value}" for name, value in changed_settings(plan.settings)]
    marked.append(Row("not defaults", ", ".join(changed) or "none beside those above"))
    return marked


def _data_rows(resolved: Resolved) -> Iterator[Row]:
    run = resolved.run
    yield Row("out", _text(run.out))
    yield Row("data", f"{resolved.dataset_size:,} images in {_text(run.data)}")
    if run.val_data is not None:
        yield Row("val_data", _text(run.val_data))
    yield Row("in_memory", "yes" if resolved.memory.use else "no")
    yield Row("views", _views(resolved))


def _length_rows(resolved: Resolved) -> Iterator[Row]:
    batch = f"{resolved.run.batch_size:,} images"
    if resolved.world_size > 1:
        batch += f", {resolved.per_device_batch_size:,} on each of {resolved.world_size} devices"
    if resolved.accumulation > 1:
        batch += (
            f"; {resolved.accumulation} batches, {resolved.effective_batch_size:,} images, a step"
        )
    yield Row("batch_size", batch)
    yield Row("epochs", f"{resolved.run.epochs:,}")
    steps = f"{resolved.total_steps:,}, {resolved.steps_per_epoch:,} an epoch"
    if not resolved.length.given:
        steps += "; their time is logged after the first ones"
    yield Row("steps", steps)


def _network_rows(plan: Plan) -> Iterator[Row]:
    resolved = plan.resolved
    yield Row("model", _text(resolved.run.model))
    yield Row("method", resolved.method_record.name)
    if plan.size is None:
        yield Row("parameters", _NO_SIZE)
    else:
        yield from (Row(name, text) for name, text in size_rows(plan.size, resolved))
    yield Row("recipe", resolved.recipe.name)
    yield Row("optim", resolved.optimizer_name)
    warmup = f"after {resolved.warmup_steps:,} steps of warm-up" if resolved.warmup_steps else ""
    yield Row("learning rate", f"{resolved.peak_lr:.4g} {warmup}".rstrip())


def _hardware_rows(resolved: Resolved) -> Iterator[Row]:
    run = resolved.run
    yield Row("accelerator", _text(run.accelerator))
    yield Row("devices", _text(run.devices))
    if resolved.world_size > 1:
        yield Row("strategy", _text(run.strategy))
    yield Row("precision", run.precision)
    yield Row("num_workers", _text(run.num_workers))


def _views(resolved: Resolved) -> str:
    """Return number and sizes of the views, such as ``2 of 224 x 224, 6 of 96 x 96 pixels``."""
    counts: dict[tuple[int, int], int] = {}
    for spec in resolved.transform.view_specs():
        counts[spec.size] = counts.get(spec.size, 0) + 1
    parts = [f"{count} of {width} x {height}" for (height, width), count in counts.items()]
    return f"{', '.join(parts)} pixels, {resolved.transform.channels} channels"


# --------------------------------------------------------------------------- not defaults


def _replaced(settings: Settings) -> Iterator[tuple[str, object]]:
    """Yield name and default of the settings with a row that differ from their defaults."""
    for field in settings_fields(type(settings.run)):
        default = default_of(field)
        if field.name not in _ROWS or default in (NO_DEFAULT, None):
            continue
        if getattr(settings.run, field.name) != default:
            yield field.name, default


def changed_settings(settings: Settings) -> list[tuple[str, str]]:
    """Return name and value of the settings that differ from their defaults and have no row.

    The defaults of a group are those of the method.

    Args:
        settings: The user's settings.
    """
    run = settings.run
    config = type(settings.method)
    found: dict[str, object] = {}
    for field in settings_fields(type(run)):
        value = getattr(run, field.name)
        known = field.name in _ROWS or isinstance(value, Mapping)
        if not known and value != default_of(field):
            found[field.name] = value
    groups: list[tuple[str, object, object]] = [
        ("method_args", settings.method, _defaults(config)),
        ("optim_args", settings.optimizer, config.default_optimizer(settings.optimizer_name)),
        ("callbacks", settings.callbacks, CallbacksArgs()),
    ]
    if settings.transform.name == DEFAULT_TRANSFORM:
        groups.append(("transform_args", settings.transform, config.default_transform()))
    else:
        found |= _flat_group("transform_args", run.transform_args or {})
    for name, values, base in groups:
        before, now = _flat_group(name, base), _flat_group(name, values)
        found |= {k: value for k, value in now.items() if k not in before or before[k] != value}
    for name in ("loggers", "loader_args", "trainer_args", "model_args"):
        found |= _flat_group(name, getattr(run, name) or {})
    safe: dict[str, Any] = without_secrets(plain(found))  # type: ignore[assignment]
    return [(name, _short(value)) for name, value in safe.items()]


def _defaults(config: type) -> dict[str, object]:
    return {field.name: default_of(field) for field in settings_fields(config)}


def _flat_group(name: str, group: object) -> dict[str, object]:
    return flat(plain(group), f"{name}.")


def _short(value: object) -> str:
    if value is None:
        return "none"
    return shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _text(value: object) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{_text(value[0])}, {_text(value[1])} and {len(value) - 2} more"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return shown(str(without_secrets(str(value))))


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, indent + 30),
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )

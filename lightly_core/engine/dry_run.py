"""Dry run: check the settings of a run and print what it will do. Networks are built where needed.

No torch here, so that a dry run of a known model answers at once.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Literal, TypeAlias

from lightly_core.config.auto.resolve import Resolved, draw_seed
from lightly_core.config.auto.settings_file import settings_file
from lightly_core.config.reading.launch import find_launch, is_first_process
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.channels import prepare
from lightly_core.data.loading import first_readable
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.images import open_images, open_val_images, refuse_resolved, resolve_run
from lightly_core.engine.lightning_import import import_lightning
from lightly_core.engine.loggers.checking import require_loggers
from lightly_core.engine.logs import RunLogs, only_warnings
from lightly_core.engine.machine import inspect_machine
from lightly_core.engine.measured import check_images
from lightly_core.engine.mistakes import Mistakes
from lightly_core.engine.plan.plan import Plan
from lightly_core.engine.plan.table import plan_text
from lightly_core.errors import ConfigError
from lightly_core.failures import explained
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.discovery import Plugins
from lightly_core.plugins.loading import check_requirements
from lightly_core.plugins.model_names import takes_any_size
from lightly_core.terminal import terminal_width

logger = logging.getLogger(__name__)

#: What a dry run prints: a table for people, all resolved settings, or a file for `--config`.
Form: TypeAlias = Literal["table", "json", "toml"]

NOT_BUILT = (
    "note: the networks were not built, as the model and the options are of known kinds; "
    "`--dry-run --build` builds them too"
)

#: Settings that only torch, Lightning or a built network can check.
_CHECKED_BY_BUILDING = (
    "activation_checkpoint_args",
    "checkpoint",
    "compile",
    "embed_dim",
    "loader_args",
    "model_args",
    "resume",
    "resume_interrupted",
    "trainer_args",
)
#: Values of Lightning's settings that are known to work.
_KNOWN_VALUES = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "num_nodes": (1,),
    "precision": ("auto", "32-true", "16-mixed", "bf16-mixed"),
    "strategy": ("auto", "ddp"),
}
#: Shortest side of the views of `lightly_core.plugins.records.ModelsRecord.any_size`, in pixels.
_LEAST_SIDE = 32


def dry_run(settings: Settings, plugins: Plugins, *, build: bool, form: Form = "table") -> None:
    """Make the checks of a run, and print what it will do. Nothing is written.

    Args:
        settings: Checked settings.
        plugins: Catalog and hooks.
        build: Whether the networks are built in any case, on the meta device.
        form: What is printed.

    Raises:
        LightlyError: A run with these settings would be refused.
    """
    reasons = ["--build"] if build else list(reasons_to_build(settings, plugins.catalog))
    if reasons:
        logger.debug("The networks are built because of %s", ", ".join(reasons))
        import_lightning()
        from lightly_core.engine.run import rehearse_run

        _print(rehearse_run(settings, plugins), form)
        return
    folder = RunFolder(settings.run.out)
    packages = plugins.catalog.packages()
    with RunLogs(is_first_process(), packages, to_stderr=True), explained(folder.root):
        plan = Plan(settings=settings, resolved=_check(settings, plugins.catalog))
    _print(plan, form)
    print(NOT_BUILT, file=sys.stderr)


def _print(plan: Plan, form: Form) -> None:
    if form == "json":
        print(json.dumps(plan.resolved.as_dict(), indent=2))
    elif form == "toml":
        text = settings_file(plan.resolved)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # the encoding of every TOML file
        print(text, end="")
    else:
        print(plan_text(plan, inspect_machine(), terminal_width()))


def reasons_to_build(settings: Settings, catalog: Catalog) -> Iterator[str]:
    """Yield the settings that cannot be checked completely without building the networks."""
    run = settings.run
    yield from (name for name in _CHECKED_BY_BUILDING if getattr(run, name))
    for name, known in _KNOWN_VALUES.items():
        if getattr(run, name) not in known:
            yield name
    if find_launch() is not None:
        yield "the launcher"
    if settings.method.needs_building():
        yield "method"
    if not _is_known_model(settings, catalog):
        yield "model"
    if not _are_known_views(settings):
        yield "transform_args"


def _is_known_model(settings: Settings, catalog: Catalog) -> bool:
    model = settings.run.model
    # A name with a dot is that of weights. The library knows whether they are loaded.
    if not isinstance(model, str) or "." in model:
        return False
    record, name = catalog.model(model)
    return takes_any_size(record, name)


def _are_known_views(settings: Settings) -> bool:
    transform = settings.transform
    sides = [side for spec in transform.view_specs() for side in spec.size]
    return (
        settings.transform_record is None
        and transform.channel_drop is None
        and transform.channels == 3
        and min(sides) >= _LEAST_SIDE
    )


def _check(settings: Settings, catalog: Catalog) -> Resolved:
    """Make all checks that need no torch, and return the resolved settings."""
    source = open_images(settings)
    val_source = open_val_images(settings)
    resolved = resolve_run(settings, source, val_source, draw_seed)
    mistakes = Mistakes()
    with only_warnings():
        mistakes.attempt(lambda: refuse_resolved(resolved.run))
        mistakes.attempt(lambda: check_images(resolved, source, val_source))
        mistakes.attempt(lambda: _check_first_image(resolved, source))
        mistakes.attempt(lambda: _check_method(resolved, catalog))
        mistakes.attempt(lambda: require_loggers(resolved))
    mistakes.raise_all()
    return resolved


def _check_first_image(resolved: Resolved, source: ImageSource) -> None:
    image = first_readable(source)
    try:
        prepare(image, resolved.transform.source_channels)
    except ValueError as error:
        raise ConfigError(f"the images do not fit transform_args: {error}") from error


def _check_method(resolved: Resolved, catalog: Catalog) -> None:
    record, _ = catalog.model(str(resolved.run.model))
    for needed in (record, resolved.method_record):
        check_requirements(needed)
    problems = resolved.method.requirements().run_problems(
        resolved.method_record.name,
        num_global=resolved.transform.num_views,
        batch_size=resolved.run.batch_size,
        num_processes=resolved.world_size,
    )
    if problems:
        raise ConfigError.of(problems)

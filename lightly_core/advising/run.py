"""Looks at images, network and machine, chooses a method, and measures it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from lightly_core.advising import notes
from lightly_core.advising.choice import Choice, Facts, choose, nearness
from lightly_core.advising.evidence import BATCH_SIZE, Row, read_evidence
from lightly_core.advising.report import Advice, nearness_text, row_text, shown_value
from lightly_core.advising.sizes import (
    Budget,
    fit_epochs,
    most_images_seen,
    network_args,
    networks,
    view_side,
)
from lightly_core.config.auto.length import first_epochs
from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.resolve import resolve
from lightly_core.config.docs.method_table import relative_times
from lightly_core.config.options.advise import AdviseConfig
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.diagnosing.devices import auto_accelerator
from lightly_core.diagnosing.report import Section
from lightly_core.diagnosing.settings import unwritten_settings
from lightly_core.engine.images import open_images
from lightly_core.engine.lightning_import import import_lightning
from lightly_core.engine.machine import inspect_machine
from lightly_core.engine.plan.pace import about
from lightly_core.errors import PluginError
from lightly_core.plugins.catalog import Catalog

if TYPE_CHECKING:
    from lightly_core.advising.measuring import Speed


def advised(
    config: AdviseConfig, given: Mapping[str, Any], settings: Settings, catalog: Catalog
) -> Advice:
    """Return the advice.

    Args:
        config: Settings of the advice.
        given: Settings of a run that the user gave.
        settings: The same, checked.
        catalog: What the plugins provide.

    Raises:
        DataError: There are no images, or none can be read.
        LightlyError: The network cannot be built, or does not fit the method.
    """
    machine = inspect_machine()
    import_lightning()
    case = _Case(config, given, settings, catalog, machine)
    choice, plan = case.choice()
    return _advice(case, choice, plan)


@frozen
class _Plan:
    """A run with its measured speed.

    Attributes:
        given: Its settings without batch size and epochs.
        settings: The same, checked.
        speed: What was measured.
        budget: Its length.
    """

    given: dict[str, Any]
    settings: Settings
    speed: Speed
    budget: Budget


class _Case:
    """Images, network and machine, and what may be run on them."""

    def __init__(
        self,
        config: AdviseConfig,
        given: Mapping[str, Any],
        settings: Settings,
        catalog: Catalog,
        machine: Machine,
    ) -> None:
        from lightly_core.advising import measuring

        self.config, self.catalog, self.machine = config, catalog, machine
        wanted = config.accelerator
        self.accelerator = auto_accelerator(machine) if wanted == "auto" else wanted
        self.source: ImageSource = open_images(settings)
        self.images = len(self.source)
        images = measuring.some_images(self.source)
        self.shorter, self.pixels = measuring.shorter_side(images), measuring.pixels_of(images)
        self.evidence = read_evidence()
        on_gpu = self.accelerator != "cpu"
        self.given = {key: value for key, value in given.items() if key != "method"}
        if config.model is None:
            self.given["model"] = _usable_network(catalog, self.images, config.hours, on_gpu)
        with_model = unwritten_settings({**given, **self.given}, catalog)
        self.network = measuring.kind_of_network(with_model, catalog)
        self.side = view_side(self.shorter, self.network, on_gpu)
        if config.model is None and (args := network_args(self.given["model"], self.side)):
            self.given["model_args"] = args
        self.given["transform_args"] = {"image_size": self.side}
        own = settings.method_record.name
        names = [own] if config.method is not None else catalog.usable_names("method")
        self.fallback = own
        self.facts = Facts(
            images=self.images,
            side=self.side,
            model=str(self.given["model"]),
            network=self.network,
            pixels=self.pixels,
            methods=frozenset(names),
            costs=relative_times("cpu" if self.accelerator == "cpu" else "cuda"),
        )

    def choice(self) -> tuple[Choice, _Plan]:
        """Choose a method, measure it, and choose again among the rows that the time allows."""
        choice = choose(self.evidence, self.facts)
        plan = self._plan(choice.row)
        seen = most_images_seen(self.config.hours, plan.speed.per_second)
        again = choose(self.evidence, self.facts, seen)
        if (_name(again.row), _recipe(again.row)) != (_name(choice.row), _recipe(choice.row)):
            plan = self._plan(again.row)
        return again, plan

    def _plan(self, row: Row | None) -> _Plan:
        from lightly_core.advising import measuring

        given = {**self.given, "method": _name(row) or self.fallback}
        if row is not None:
            given["recipe"] = row.recipe
        given["batch_size"] = BATCH_SIZE
        settings = unwritten_settings(given, self.catalog)
        epochs = first_epochs(self.images, "small") if row is not None else None
        if epochs is None:
            drawn = resolve(settings, self.machine, self.images, draw_seed=lambda: 0)
            epochs = int(drawn.run.epochs)
        short = evolve(settings, run=evolve(settings.run, epochs=epochs))
        args = (self.source, self.machine, self.catalog, self.config.seconds)
        speed = measuring.measure_speed(short, *args)
        budget = fit_epochs(self.images, epochs, self.config.hours, speed.per_second)
        return _Plan(given, settings, speed, budget)


def _name(row: Row | None) -> str | None:
    return None if row is None else row.method


def _recipe(row: Row | None) -> str | None:
    return None if row is None else row.recipe


def _usable_network(catalog: Catalog, images: int, hours: float, on_gpu: bool) -> str:
    """Return the network to take if the user names none.

    Raises:
        PluginError: No library with such a network is installed.
    """
    libraries = catalog.usable_names("models")
    for name in networks(images, hours, on_gpu):
        if name.partition("/")[0] in libraries:
            return name
    raise PluginError(
        "no library with a ResNet is installed, so there is no network to advise; give model"
        "\n  or: pip install lightly-torchvision"
    )


def _advice(case: _Case, choice: Choice, plan: _Plan) -> Advice:
    batch_size = min(plan.speed.batch_size, case.images)
    settings = {**plan.given, "batch_size": batch_size, "epochs": plan.budget.epochs}
    checked = unwritten_settings(settings, case.catalog)
    resolved = resolve(checked, case.machine, case.images, draw_seed=lambda: 0)
    row = choice.row
    sections = (
        Section("Images", tuple(_image_rows(case))),
        Section("Advice", tuple(_advice_rows(case, settings, plan, resolved.recipe.name))),
        Section(
            "Evidence",
            tuple(_evidence_rows(case, choice)),
            tuple(
                notes.evidence_notes(
                    choice,
                    plan.budget,
                    method=str(settings["method"]),
                    given=case.config.method is not None,
                    recipe=resolved.recipe,
                    hours=case.config.hours,
                    images=case.images,
                    batch_size=batch_size,
                    gpus=case.machine.cuda_devices if case.accelerator != "cpu" else 0,
                )
            ),
        ),
    )
    near = None if choice.nearest is None else nearness(choice.nearest.case, case.facts)
    return Advice(
        settings=settings,
        recipe=resolved.recipe.name,
        images=case.images,
        images_seen=plan.budget.images_seen,
        seconds=plan.budget.seconds,
        images_per_second=plan.speed.per_second,
        evidence=() if row is None else (row, *choice.rivals),
        nearness=near,
        sections=sections,
    )


def _image_rows(case: _Case) -> Iterator[tuple[str, str]]:
    yield "images", f"{case.images:,}"
    yield "pixels", case.pixels
    yield "shorter side", f"{case.shorter:,} pixels, the median of some; large JPEGs are shrunk"


def _advice_rows(
    case: _Case, settings: Mapping[str, Any], plan: _Plan, recipe: str
) -> Iterator[tuple[str, str]]:
    budget, speed = plan.budget, plan.speed
    yield "method", str(settings["method"])
    args = settings.get("model_args") or {}
    more = "".join(f", {name}={shown_value(value)}" for name, value in args.items())
    yield "model", f"{settings['model']}{more}"
    yield "image_size", f"{case.side} pixels"
    yield "batch_size", f"{settings['batch_size']} images"
    yield "epochs", f"{budget.epochs:,}, {budget.images_seen:,} images seen"
    yield "recipe", recipe
    took = "" if budget.seconds is None else f"{about(budget.seconds)}; "
    yield "time", f"{took}{speed.text}"


def _evidence_rows(case: _Case, choice: Choice) -> Sequence[tuple[str, str]]:
    nearest = choice.nearest
    if nearest is None:
        return [("row", "none")]
    rows = [("row" if choice.row else "nearest", row_text(nearest))]
    near = nearness(nearest.case, case.facts)
    rows.append(("nearness", nearness_text(nearest, near, case.images, case.side)))
    if choice.rivals:
        others = [f"{row.method} ({row.recipe}) {row.knn:.1f} %" for row in choice.rivals]
        rows.append(("others", ", ".join(others)))
    return rows

"""The result of `lightly_core.advise`. No torch here."""

from __future__ import annotations

import shlex
from typing import Any

from attrs import asdict, frozen

from lightly_core.advising.choice import Nearness
from lightly_core.advising.evidence import Row
from lightly_core.config.options.fields import plain
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.toml_text import flat_settings, toml_value
from lightly_core.diagnosing.report import Section
from lightly_core.notebook import facts, paragraph


@frozen(kw_only=True)
class Advice:
    """What to run on some images, and the measurements that this rests on.

    `str` returns it as text, and notebooks show it.

    Attributes:
        settings: Those of the run without `out`: ``lightly_core.pretrain(out=..., **settings)``.
        recipe: Whose values the run takes, "small" or "paper".
        images: Number of images.
        images_seen: Number of images times epochs.
        seconds: Time of the training; None: it was not measured.
        images_per_second: Speed on this machine; None: it was not measured.
        evidence: The row that the advice rests on, then those it was compared with; empty: none.
        nearness: How near the row is, or else the nearest one; None: there is none.
        sections: The report.
    """

    settings: dict[str, Any]
    recipe: str
    images: int
    images_seen: int
    seconds: float | None
    images_per_second: float | None
    evidence: tuple[Row, ...]
    nearness: Nearness | None
    sections: tuple[Section, ...]

    @property
    def command(self) -> str:
        """The command, or a call if there are Python objects among the settings."""
        if any(isinstance(value, PythonObject) for value in self.settings.values()):
            return 'lightly_core.pretrain(out="out/first", **advice.settings)'
        words = [
            f"{'.'.join(path)}={shown_value(value)}" for path, value in flat_settings(self.settings)
        ]
        return " ".join(map(shlex.quote, ["lightly", "run", "out=out/first", *words]))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "settings": plain(self.settings),
            "recipe": self.recipe,
            "images": self.images,
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "evidence": [_row_data(row) for row in self.evidence],
            "nearness": None if self.nearness is None else asdict(self.nearness),
            "report": {
                section.title: {"rows": dict(section.rows), "advice": list(section.advice)}
                for section in self.sections
            },
            "command": self.command,
        }

    def text(self, width: int | None = None) -> str:
        """Return the report as text, wrapped to `width` columns; None: it is not wrapped."""
        parts = [section.text(width) for section in self.sections]
        return "\n\n".join([*parts, self.command])

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        parts = [
            facts(section.title, section.rows) + "".join(map(paragraph, section.advice))
            for section in self.sections
        ]
        return "".join([*parts, paragraph(self.command)])


def row_text(row: Row) -> str:
    """Return what a row has measured."""
    seeds = f"{len(row.runs)} seed{'s' if len(row.runs) > 1 else ''}"
    return (
        f"{row.method} with recipe={row.recipe} on {row.case.name}, {row.images_seen:,} images "
        f"seen: kNN from {row.untrained:.1f} to {row.knn:.1f} %, {row.gain:+.1f} points, standard "
        f"error {row.gain_error:.1f} ({row.num_test:,} test images, {seeds})"
    )


_PIXELS = {"colour": "coloured", "grey": "grey"}


def nearness_text(row: Row, near: Nearness, images: int, side: int) -> str:
    """Return how near a row is to the images and the network."""
    kind = "also" if near.same_network else "not"
    return (
        f"{row.case.images:,} images against {images:,} (factor {near.images:.2g}), views of "
        f"{row.case.side} pixels against {side} (factor {near.side:.2g}), {row.case.model}, yours "
        f"is {kind} {row.case.network}"
        + ("" if near.same_pixels else f"; its images are {_PIXELS[row.case.pixels]}, yours not")
    )


def _row_data(row: Row) -> dict[str, Any]:
    names = ("method", "recipe", "images_seen", "untrained", "knn", "gain", "gain_error")
    more = ("untrained_linear", "linear", "num_test")
    values = {name: getattr(row, name) for name in (*names, *more)}
    return {"case": asdict(row.case), **values, "seeds": len(row.runs)}


def shown_value(value: Any) -> str:  # noqa: ANN401 - any plain setting
    """Return the value of a setting as it is written on a command line."""
    return value if isinstance(value, str) else toml_value(value)

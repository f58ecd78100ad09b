"""The report of `lightly_core.doctor`: sections of facts, with advice. No torch here."""

from __future__ import annotations

import textwrap
from typing import Any

from attrs import frozen

from lightly_core.notebook import facts, paragraph


@frozen
class Section:
    """One subject of the report.

    Attributes:
        title: Its heading.
        rows: Name and text of each fact.
        advice: Sentences that say what to do, each with the measurement it rests on.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    advice: tuple[str, ...] = ()

    def text(self, width: int | None) -> str:
        """Return the section as text.

        Args:
            width: Columns to which it is wrapped; None: it is not wrapped.
        """
        indent = max((len(name) for name, _ in self.rows), default=0) + 4
        lines = [self.title]
        for name, text in self.rows:
            lines += _wrapped(f"  {name:<{indent - 2}}{text}", indent, width)
        for sentence in self.advice:
            lines += _wrapped(f"  -> {sentence}", 5, width)
        return "\n".join(lines)


@frozen
class DoctorReport:
    """What `lightly_core.doctor` has found. `str` returns it as text, and notebooks show it.

    Attributes:
        sections: One for each subject.
    """

    sections: tuple[Section, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: rows and advice of each section, by its title."""
        return {
            section.title: {"rows": dict(section.rows), "advice": list(section.advice)}
            for section in self.sections
        }

    def text(self, width: int | None = None) -> str:
        """Return the report as text, wrapped to `width` columns; None: it is not wrapped."""
        return "\n\n".join(section.text(width) for section in self.sections)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return "".join(
            facts(section.title, section.rows) + "".join(map(paragraph, section.advice))
            for section in self.sections
        )


def _wrapped(text: str, indent: int, width: int | None) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(
        text,
        max(width, indent + 30),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )

"""The space of a sweep: which values each of its settings may have."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define

from lightly_core.config.options.fields import Plain, plain, value_name
from lightly_core.config.options.sweep import RangeArgs
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError

#: Values by the full name of their setting, such as ``optim_args.lr``.
Values = dict[str, Plain]

_RANGE_KEYS = ("low", "high")
_EXPECTED = "expected a list of values or a range such as {low = 0.1, high = 1.0}"


@define(frozen=True)
class Choice:
    """A setting with a list of values.

    Attributes:
        name: Full name of the setting.
        values: Its values, at least one, all different.
    """

    name: str
    values: tuple[Plain, ...]

    def probes(self) -> tuple[Plain, ...]:
        """Return the values that are checked before the sweep starts: all of them."""
        return self.values

    def listed(self) -> tuple[Plain, ...] | None:
        """Return all values."""
        return self.values

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(shown(value) for value in self.values)}"


@define(frozen=True)
class Range:
    """A setting with a range of numbers.

    Attributes:
        name: Full name of the setting.
        low: Smallest value.
        high: Largest value.
        log: Whether factors count, and not differences.
        step: Difference of two neighbouring values; None: any number between the ends.
        whole: Whether all values are whole numbers.
    """

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def probes(self) -> tuple[Plain, ...]:
        """Return the values that are checked before the sweep starts: both ends."""
        return self.low, self.high

    def listed(self) -> tuple[Plain, ...] | None:
        """Return all values; None if there are no steps."""
        step = 1 if self.whole and self.step is None else self.step
        if step is None or self.log:
            return None
        count = round((self.high - self.low) / step)
        values = [self.low + number * step for number in range(count + 1)]
        return tuple(values if self.whole else (round(value, 12) for value in values))

    def __str__(self) -> str:
        kind = "whole numbers" if self.whole else "numbers"
        steps = f" in steps of {shown(self.step)}" if self.step is not None else ""
        return (
            f"{self.name}: {kind} from {shown(self.low)} to {shown(self.high)}"
            f"{', log' if self.log else ''}{steps}"
        )


Parameter = Choice | Range


@define(frozen=True)
class Space:
    """All settings of a sweep.

    Attributes:
        parameters: One for each setting, in the order of the file.
    """

    parameters: tuple[Parameter, ...]

    def first(self) -> Values:
        """Return the first value of each setting."""
        return {parameter.name: parameter.probes()[0] for parameter in self.parameters}

    def probes(self) -> Iterator[tuple[Parameter, Values]]:
        """Yield each further value to check, with the first values of the other settings."""
        for parameter in self.parameters:
            for value in parameter.probes()[1:]:
                yield parameter, {**self.first(), parameter.name: value}

    def size(self) -> int | None:
        """Return the number of combinations; None if there is a range without steps."""
        listed = [parameter.listed() for parameter in self.parameters]
        counts = [len(values) for values in listed if values is not None]
        return math.prod(counts) if len(counts) == len(listed) else None

    def combination(self, number: int) -> Values:
        """Return a combination of a finite space. The last setting changes first.

        Args:
            number: From 0 to `size` - 1.
        """
        found: Values = {}
        for parameter in reversed(self.parameters):
            values = parameter.listed()
            assert values is not None  # the space is finite
            number, place = divmod(number, len(values))
            found[parameter.name] = values[place]
        return dict(reversed(found.items()))

    def grid(self, trials: int, seed: int) -> list[Values]:
        """Return combinations: all in their order, or some that the seed chooses.

        Args:
            trials: How many, at most `size`. The first of a smaller number are the same.
            seed: Seed of the choice.
        """
        size = self.size()
        assert size is not None  # the space is finite
        chosen: Sequence[int] = range(size)
        if trials < size:
            # A random key for each combination, so that more trials keep the earlier ones.
            chosen = sorted(chosen, key=lambda number: random.Random(f"{seed}/{number}").random())
        return [self.combination(number) for number in chosen[:trials]]


def read_space(given: Mapping[str, Any]) -> tuple[Space, list[str]]:
    """Read the setting `space`, and return it with all mistakes in its form.

    Names may be written as one word or as nested tables. Whether their values fit is not checked.
    """
    parameters: list[Parameter] = []
    problems: list[str] = []
    for name, value in _flat(given, ""):
        try:
            parameters.append(_parameter(name, value))
        except ConfigError as error:
            problems += [f"sweep.space.{text}" for text in error.problems]
    names = [parameter.name for parameter in parameters]
    problems += [
        f"sweep.space.{name}: it is given twice"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return Space(tuple(parameters)), problems


def nested(values: Mapping[str, Plain]) -> dict[str, Any]:
    """Return values by full name as nested dictionaries, as settings are given."""
    settings: dict[str, Any] = {}
    for name, value in values.items():
        *groups, key = name.split(".")
        group = settings
        for part in groups:
            group = group.setdefault(part, {})
        group[key] = value
    return settings


def shown(value: Plain) -> str:
    """Return a value for people: numbers with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _flat(given: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value and not any(end in value for end in _RANGE_KEYS):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _parameter(name: str, value: object) -> Parameter:
    if isinstance(value, (list, tuple)):
        return _choice(name, value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: {_EXPECTED}, got {value_name(value)}")
    args = structure(value, RangeArgs, path=name)
    numbers = [args.low, args.high] + ([] if args.step is None else [args.step])
    stepped = args.step is not None
    return Range(
        name=name,
        low=args.low,
        high=args.high,
        log=args.log,
        step=args.step,
        whole=stepped and all(isinstance(number, int) for number in numbers),
    )


def _choice(name: str, given: Sequence[object]) -> Choice:
    values = [plain(value) for value in given]
    if not values:
        raise ConfigError(f"{name}: {_EXPECTED}, got an empty list")
    # 1 and 1.0 and true are equal in Python, and different settings.
    texts = [repr(value) for value in values]
    for value, text in zip(values, texts, strict=True):
        if texts.count(text) > 1:
            raise ConfigError(f"{name}: {value_name(value)} is in the list twice")
    return Choice(name, tuple(values))

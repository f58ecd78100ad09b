"""Chooses a method from measured short runs. Pure functions of the runs and a few facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import define, field

from lightly_core.advising.evidence import Case, Network, Pixels, Row

#: Factors by which images and sides may differ from a case that is near enough to rest on. They are
#: a judgement: the rows do not show how far a result carries.
MOST_IMAGES, MOST_SIDE = 4.0, 2.0


@define(frozen=True, kw_only=True)
class Facts:
    """What is known before a method is chosen.

    Attributes:
        images: Number of images.
        side: Side of a view in pixels.
        model: Name of the network.
        network: Kind of the network; None: another kind, or not known.
        pixels: Whether the images have colours.
        methods: Names of the methods that may be chosen.
        costs: Time of a step of each method relative to the others, where it was measured.
    """

    images: int
    side: int
    model: str
    network: Network | None
    methods: frozenset[str]
    pixels: Pixels = "colour"
    costs: Mapping[str, float] = field(factory=dict)


@define(frozen=True)
class Nearness:
    """How near a case is to the facts.

    Attributes:
        images: Factor between the numbers of images, at least 1.
        side: Factor between the sides of the views, at least 1.
        same_network: Whether both networks are of the same kind.
        same_model: Whether both are the same network.
        same_pixels: Whether both images are coloured, or both grey.
    """

    images: float
    side: float
    same_network: bool
    same_model: bool
    same_pixels: bool = True

    @property
    def is_near(self) -> bool:
        """Whether advice may rest on the case."""
        return self.same_network and self.images <= MOST_IMAGES and self.side <= MOST_SIDE

    @property
    def order(self) -> tuple[bool, bool, float, bool]:
        """Sorts cases, the nearest first, of equally near ones that of the same network."""
        distance = math.log(self.images * self.side)
        return not self.same_network, not self.same_pixels, distance, not self.same_model


@define(frozen=True, kw_only=True)
class Choice:
    """What the evidence says.

    Attributes:
        row: The row on which the advice rests; None: no row is near enough, or none has learned.
        rivals: The other rows that were compared with it, the best first.
        nearest: The row, or the best of the nearest case if there is none; None: no method that may
            be chosen was measured.
        is_short: Whether all rows that are near saw more images than the time allows.
    """

    row: Row | None = None
    rivals: tuple[Row, ...] = ()
    nearest: Row | None = None
    is_short: bool = False


def nearness(case: Case, facts: Facts) -> Nearness:
    """Return how near a case is to the facts."""
    return Nearness(
        _factor(case.images, facts.images),
        _factor(case.side, facts.side),
        case.network == facts.network,
        case.model == facts.model,
        case.pixels == facts.pixels,
    )


def choose(evidence: Sequence[Row], facts: Facts, most_seen: float = math.inf) -> Choice:
    """Return the row of the method to take.

    Rows of the nearest case are compared at one number of images seen: that of the most methods,
    and among these the largest, of those that the time allows. Of the rows within one standard
    error of the best, the method with the cheapest step is taken. A row must be above the untrained
    network by two standard errors.

    Args:
        evidence: Measured rows.
        facts: What is known.
        most_seen: Images that a run can see in the time.
    """
    possible = [row for row in evidence if row.method in facts.methods]
    if not possible:
        return Choice()
    ordered = sorted(possible, key=lambda row: nearness(row.case, facts).order)
    near = [row for row in ordered if nearness(row.case, facts).is_near and row.learns]
    if not near:
        of_nearest = (row for row in possible if row.case == ordered[0].case)
        return Choice(nearest=max(of_nearest, key=lambda row: row.knn))
    case = near[0].case.name
    rows = [row for row in near if row.case.name == case]
    fitting = [row for row in rows if row.images_seen <= most_seen]
    compared = at_one_budget(fitting or rows)
    row = _cheapest_of_the_best(compared, facts.costs)
    rivals = sorted((other for other in compared if other is not row), key=lambda other: -other.knn)
    return Choice(row=row, rivals=tuple(rivals), nearest=row, is_short=not fitting)


def at_one_budget(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one number of images seen: that of the most methods, or else the largest.

    Args:
        rows: Rows of one case, at least one.
    """
    methods: dict[int, set[str]] = {}
    for row in rows:
        methods.setdefault(row.images_seen, set()).add(row.method)
    budget = max(methods, key=lambda seen: (len(methods[seen]), seen))
    return [row for row in rows if row.images_seen == budget]


def _cheapest_of_the_best(rows: Sequence[Row], costs: Mapping[str, float]) -> Row:
    best = max(rows, key=lambda row: row.knn)
    equal = [row for row in rows if best.knn - row.knn <= best.error_to(row)]
    return min(equal, key=lambda row: (costs.get(row.method, math.inf), -row.knn))


def _factor(first: float, second: float) -> float:
    return max(first, second) / min(first, second)

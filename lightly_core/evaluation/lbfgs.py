"""L-BFGS for smooth convex functions with an approximately known curvature.

Not `torch.optim.LBFGS`, for two reasons. A preconditioner saves most of the iterations on features,
whose dimensions are strongly correlated. And the tolerance here has the unit of the function.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightly_core.progress import tracked

ARMIJO = 1e-4  # Nocedal & Wright 2006, section 3.1
CURVATURE = 0.9
MAX_SHORTENINGS = 25


@dataclass(frozen=True)
class Minimum:
    """Result of `minimize`.

    Attributes:
        point: The best point found, of the shape of the start.
        value: The function at this point.
        iterations: Number of steps.
        expected_decrease: Estimate of the remaining decrease, in the unit of the function.
        converged: Whether `expected_decrease` is at most the tolerance.
    """

    point: Tensor
    value: float
    iterations: int
    expected_decrease: float
    converged: bool


@dataclass
class _History:
    """The last steps and the changes of the gradient along them."""

    precondition: Callable[[Tensor], Tensor]
    size: int = 10
    scale: float = 1.0
    pairs: deque[tuple[Tensor, Tensor, float]] = field(default_factory=deque)

    def add(self, step: Tensor, change: Tensor) -> None:
        curvature = float((step * change).sum())
        if curvature <= 0:  # only by rounding, since the function is convex
            return
        self.pairs.append((step, change, curvature))
        if len(self.pairs) > self.size:
            self.pairs.popleft()
        self.scale = curvature / float((change * self.precondition(change)).sum())

    def direction(self, gradient: Tensor) -> Tensor:
        """Return minus the gradient times the inverse curvature, by the two-loop recursion."""
        vector, weights = gradient.clone(), []
        for step, change, curvature in reversed(self.pairs):
            weight = (step * vector).sum() / curvature
            vector -= weight * change
            weights.append(weight)
        vector = self.scale * self.precondition(vector)
        for (step, change, curvature), weight in zip(self.pairs, reversed(weights), strict=True):
            vector += (weight - (change * vector).sum() / curvature) * step
        return -vector


def minimize(
    objective: Callable[[Tensor], tuple[float, Tensor]],
    start: Tensor,
    *,
    precondition: Callable[[Tensor], Tensor],
    max_iterations: int,
    tolerance: float,
    rounding: float = 0.0,
) -> Minimum:
    """Minimise a strictly convex function (Liu & Nocedal 1989).

    Args:
        objective: Returns the value and the gradient at a point.
        start: Initial point, float64 of any shape.
        precondition: Multiplies by a symmetric positive definite approximation of the inverse
            Hessian.
        max_iterations: Maximum number of steps.
        tolerance: Stop when the expected further decrease is at most this, in the unit of the
            function.
        rounding: Relative error of the values of `objective`. Smaller differences are ignored;
            the slope then decides whether a step is accepted.

    Returns:
        The point, and whether the tolerance was reached.
    """
    history = _History(precondition)
    point = start
    value, gradient = objective(point)
    iterations, expected = 0, torch.inf
    for iterations in tracked(itertools.count(), "Fitting the classifier", unit="iterations"):
        direction = history.direction(gradient)
        slope = float((gradient * direction).sum())
        expected = -slope / 2  # of a parabola with this slope and its minimum at step size 1
        # Before the first step the scale of the curvature is unknown, and so is the decrease.
        if (expected <= tolerance and history.pairs) or iterations == max_iterations:
            break
        found = _search(objective, point, value, slope, direction, rounding)
        if found is None:
            break
        size, new_value, new_gradient = found
        step = size * direction
        history.add(step, new_gradient - gradient)
        point, value, gradient = point + step, new_value, new_gradient
    return Minimum(point, value, iterations, expected, expected <= tolerance)


def _search(
    objective: Callable[[Tensor], tuple[float, Tensor]],
    point: Tensor,
    value: float,
    slope: float,
    direction: Tensor,
    rounding: float,
) -> tuple[float, float, Tensor] | None:
    """Backtrack from step size 1 until a step is accepted; None if none is."""
    size, slack = 1.0, rounding * abs(value)
    for _ in range(MAX_SHORTENINGS):
        new_value, new_gradient = objective(point + size * direction)
        new_slope = float((new_gradient * direction).sum())
        falls = new_value <= value + ARMIJO * size * slope
        flattens = new_value <= value + slack and abs(new_slope) <= -CURVATURE * slope
        if falls or flattens:
            return size, new_value, new_gradient
        # The zero of the slope by linear interpolation.
        ratio = slope / (slope - new_slope) if new_slope > 0 else 0.5
        size *= min(max(ratio, 0.1), 0.6)
    return None

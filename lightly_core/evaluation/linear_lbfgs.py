"""Multinomial logistic regression, solved exactly; the only setting to tune is the penalty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightly_core.evaluation.accuracy import topk_hits
from lightly_core.evaluation.lbfgs import Minimum, minimize
from lightly_core.evaluation.linear_head import (
    CHUNK_ROWS,
    LinearHead,
    class_notes,
    exact_arithmetic,
    fold,
    hold_out,
    statistics,
    train_classes,
)
from lightly_core.progress import tracked

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
KEPT_NUMBERS = 2**25  # up to this many standardised features are cached, 128 MiB of float32
SPECTRUM_RANK = 128  # directions in which the curvature is estimated
SPECTRUM_ROWS = 4096  # rows from which it is estimated


def fit_lbfgs(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    penalties: Sequence[float] | None = None,
    standardize: bool = True,
    max_iterations: int = 200,
    tolerance: float = 1e-5,
    held_out_fraction: float = 0.1,
    seed: int = 0,
) -> LinearHead:
    """Fit a linear classifier by L-BFGS on all features at once.

    It minimises, over the weights W and the biases b of the classes that occur ::

        mean over images of cross_entropy(W x + b, label) + penalty / 2 * sum of W squared

    which is scikit-learn's `LogisticRegression` with ``C = 1 / (N * penalty)``. The problem is
    strictly convex (up to a constant added to all biases), so there is one solution. Equal
    arguments give equal numbers. Torch's random state is neither used nor changed.

    Of several penalties the one with the best accuracy on held-out training images is chosen
    (of equal ones that with the lowest loss), and the classifier is fitted again to all images.

    Args:
        features: (N, D), on any device that supports float64. Computed in float64 if they are of
            this type, else in float32.
        labels: (N,) int64 in [0, num_classes).
        num_classes: K.
        penalties: Candidates, each > 0; None: `PENALTIES`.
        standardize: Whether to normalise every dimension to mean 0 and standard deviation 1
            first. Penalties are then comparable between models.
        max_iterations: Maximum number of steps for each fit. If it is reached, a note is added.
        tolerance: Stop when the objective is expected to fall by no more than this, in nats.
        held_out_fraction: Fraction of the images on which the choice is made, in (0, 1).
        seed: Seed of the choice of held-out images.

    Returns:
        The head, for raw features.

    Raises:
        ValueError: The training data is unusable (see `train_classes`) or a penalty is not > 0.
    """
    grid = sorted(PENALTIES if penalties is None else penalties, reverse=True)
    if not grid or not 0 < grid[-1] <= grid[0] < torch.inf:
        raise ValueError(f"expected finite penalties > 0, at least one, got {penalties}")
    classes, targets = train_classes(features, labels, num_classes)
    notes = class_notes(classes, num_classes)
    with exact_arithmetic(features.device):
        shift = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        scale = torch.ones_like(shift)
        if standardize:
            shift, scale = statistics(features)
        problem = _Problem(features, targets, shift, scale, len(classes))
        choice = _choose(problem, grid, held_out_fraction, seed, max_iterations, tolerance)
        found = problem.solve(choice.penalty, choice.start, max_iterations, tolerance)
    if not found.converged:
        notes.append(
            f"L-BFGS stopped after {found.iterations} iterations, "
            f"{found.expected_decrease:.1e} nats above the minimum by its own estimate"
        )
    weight, bias = fold(found.point[:, :-1], found.point[:, -1], shift, scale, classes, num_classes)
    return LinearHead(
        weight,
        bias,
        penalty=choice.penalty,
        held_out=choice.accuracies,
        notes=(*notes, *choice.notes),
    )


@dataclass(frozen=True)
class _Choice:
    """The chosen penalty, and the initial point of its final fit, (C, D + 1) or None."""

    penalty: float
    start: Tensor | None
    accuracies: dict[float, float]
    notes: tuple[str, ...] = ()


def _choose(
    problem: _Problem,
    grid: Sequence[float],
    fraction: float,
    seed: int,
    max_iterations: int,
    tolerance: float,
) -> _Choice:
    """Fit with all penalties from the largest down, each starting from the previous solution."""
    if len(grid) == 1:
        return _Choice(grid[0], None, {})
    kept, held = hold_out(problem.targets, fraction, seed)
    if len(held) == 0:
        middle = grid[len(grid) // 2]
        return _Choice(
            middle, None, {}, (f"no class has two images for a choice: penalty {middle:g} used",)
        )
    fitted, judge = problem.subset(kept), problem.subset(held)
    accuracies: dict[float, float] = {}
    best: tuple[float, float] | None = None
    point = start = None
    chosen = grid[0]
    for penalty in tracked(grid, "Choosing the penalty", len(grid), unit="penalties"):
        point = fitted.solve(penalty, point, max_iterations, tolerance).point
        accuracies[penalty], loss = judge.score(point)
        if best is None or (accuracies[penalty], -loss) > best:
            best, chosen, start = (accuracies[penalty], -loss), penalty, point
    return _Choice(chosen, start, accuracies)


class _Problem:
    """Logistic regression on some rows of the features, which are standardised when read.

    A point is (C, D + 1) float64; the last column holds the biases.

    Args:
        features: (N, D), all rows.
        targets: (N,) int64 in [0, C), all rows.
        shift: (D,), subtracted from the features.
        scale: (D,), divisor of the shifted features.
        num_classes: C.
        rows: Positions of the rows to use; None: all.
    """

    def __init__(
        self,
        features: Tensor,
        targets: Tensor,
        shift: Tensor,
        scale: Tensor,
        num_classes: int,
        rows: Tensor | None = None,
    ) -> None:
        self.targets = targets if rows is None else targets[rows]
        self._features = features
        self._rows = rows
        self._dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
        self._statistics = (shift, scale)
        self._shift, self._scale = shift.to(self._dtype), scale.to(self._dtype)
        self._num_classes = num_classes
        self._spectrum: tuple[Tensor, Tensor, float] | None = None
        self._kept: Tensor | None = None
        if len(self.targets) * features.shape[1] <= KEPT_NUMBERS:
            self._kept = self._read(0, len(self.targets))

    def subset(self, rows: Tensor) -> _Problem:
        """Return the same problem on some rows only."""
        return _Problem(self._features, self.targets, *self._statistics, self._num_classes, rows)

    def _read(self, start: int, stop: int, stride: int = 1) -> Tensor:
        """Return standardised rows, every `stride`-th from `start` to `stop`, (n, D)."""
        if self._kept is not None:
            return self._kept[start:stop:stride]
        part = self._features[start:stop:stride]
        if self._rows is not None:
            part = self._features[self._rows[start:stop:stride]]
        return (part.to(self._dtype) - self._shift).div_(self._scale)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.targets), CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, len(self.targets))
            yield self._read(start, stop), self.targets[start:stop]

    def loss(self, point: Tensor) -> tuple[float, Tensor]:
        """Return the mean cross-entropy in nats and its gradient, (C, D + 1)."""
        weight, bias = point[:, :-1].to(self._dtype), point[:, -1].to(self._dtype)
        total = point.new_zeros(())
        gradient = torch.zeros_like(point)
        for rows, targets in self._chunks():
            scores = torch.addmm(bias, rows, weight.T)  # (n, C)
            log_sum = scores.logsumexp(dim=1, keepdim=True)  # (n, 1)
            own = scores.gather(1, targets[:, None])
            total += (log_sum - own).sum(dtype=torch.float64)
            residual = scores.sub_(log_sum).exp_()  # (n, C), probabilities
            residual.scatter_add_(1, targets[:, None], torch.full_like(own, -1))
            gradient[:, :-1] += residual.T @ rows
            gradient[:, -1] += residual.sum(dim=0, dtype=torch.float64)
        count = len(self.targets)
        return float(total) / count, gradient / count

    def score(self, point: Tensor) -> tuple[float, float]:
        """Return accuracy and mean cross-entropy."""
        weight, bias = point[:, :-1].to(self._dtype), point[:, -1].to(self._dtype)
        hits = torch.zeros(1, dtype=torch.int64, device=point.device)
        for rows, targets in self._chunks():
            hits += topk_hits(torch.addmm(bias, rows, weight.T), targets, (1,))
        return int(hits) / len(self.targets), self.loss(point)[0]

    def solve(
        self, penalty: float, start: Tensor | None, max_iterations: int, tolerance: float
    ) -> Minimum:
        """Minimise the sum of loss and penalty; `start` None means the origin."""

        def objective(point: Tensor) -> tuple[float, Tensor]:
            value, gradient = self.loss(point)
            weight = point[:, :-1]
            gradient[:, :-1] += penalty * weight
            return value + penalty / 2 * float(weight.square().sum()), gradient

        if start is None:
            start = self._shift.new_zeros(
                self._num_classes, len(self._shift) + 1, dtype=torch.float64
            )
        return minimize(
            objective,
            start,
            precondition=self._preconditioner(penalty),
            max_iterations=max_iterations,
            tolerance=tolerance,
            rounding=1e-7 if self._dtype == torch.float32 else 1e-15,
        )

    def _preconditioner(self, penalty: float) -> Callable[[Tensor], Tensor]:
        """Return a function that multiplies by the approximate inverse Hessian at the origin.

        There every class has probability 1/C, and the Hessian is ``gram / C + penalty`` for each
        class. The first step is therefore close to a ridge regression.
        """
        flatness = 1 / self._num_classes
        if self._spectrum is None:
            rows = len(self.targets)
            self._spectrum = _leading_spectrum(self._read(0, rows, max(1, rows // SPECTRUM_ROWS)))
        vectors, values, rest = self._spectrum
        tail = 1 / (flatness * rest + penalty)
        factors = 1 / (flatness * values + penalty) - tail  # (r,)

        def multiply(gradient: Tensor) -> Tensor:  # (C, D + 1)
            weight, bias = gradient[:, :-1], gradient[:, -1:]
            weight = tail * weight + ((weight @ vectors) * factors) @ vectors.T
            return torch.cat([weight, bias / flatness], dim=1)

        return multiply


def _leading_spectrum(rows: Tensor) -> tuple[Tensor, Tensor, float]:
    """Estimate the largest eigenvalues of the mean of x x^T, from a random projection.

    Halko et al. 2011, https://arxiv.org/abs/0909.4061. Features vary mainly in few directions, so
    these eigenvalues suffice, at a fraction of the cost of a D x D matrix.

    Args:
        rows: (n, D).

    Returns:
        Eigenvectors (D, r), their eigenvalues (r,), both float64, and the mean of the others.
    """
    count, dim = rows.shape
    rank = min(SPECTRUM_RANK, dim)
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(dim, rank, generator=generator).to(rows)
    # In float64: a loss of orthogonality would be multiplied by 1 / penalty.
    basis = torch.linalg.qr((rows.T @ (rows @ probes)).double()).Q  # (D, r)
    projected = rows @ basis.to(rows)  # (n, r)
    values, rotation = torch.linalg.eigh((projected.T @ projected).double() / count)
    values = values.clamp(min=0)
    rest = float(rows.square().sum(dtype=torch.float64)) / count - float(values.sum())
    return basis @ rotation, values, max(rest, 0.0) / max(dim - rank, 1)

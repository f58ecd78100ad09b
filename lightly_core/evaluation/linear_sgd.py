"""A linear classifier trained by SGD, as for published results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from lightly_core.evaluation.linear_head import (
    LinearHead,
    class_notes,
    exact_arithmetic,
    fold,
    hold_out,
    score_head,
    train_classes,
)
from lightly_core.progress import tracked

REFERENCE_BATCH = 256  # batch size to which learning rates refer
BATCH_NORM_EPS = 1e-6  # of MAE's linear probe, https://arxiv.org/abs/2111.06377
BATCH_NORM_MOMENTUM = 0.1  # PyTorch's default


def fit_sgd(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    lrs: Sequence[float] = (0.1,),
    epochs: int = 90,
    batch_size: int = 256,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    batch_norm: bool = False,
    held_out_fraction: float = 0.1,
    seed: int = 0,
) -> LinearHead:
    """Train a linear classifier on cached features by SGD with a cosine schedule to zero.

    The protocol of the linear evaluation of ResNets, without its random crops. Several learning
    rates are trained in parallel on the same batches. The one with the best accuracy on held-out
    training images is chosen (of equal ones the first), and the classifier is trained again on
    all images. Torch's random state is neither used nor changed.

    Args:
        features: (N, D), on any device.
        labels: (N,) int64 in [0, num_classes).
        num_classes: K.
        lrs: Learning rates per 256 images, each > 0; multiplied by ``batch_size / 256``.
        epochs: Passes over the images.
        batch_size: Images per step, at most N. The last, smaller batch of an epoch is skipped.
        momentum: In [0, 1).
        weight_decay: Added to the gradient, on weights and biases.
        batch_norm: Whether to normalise every dimension by the batch, without affine parameters,
            as is usual for ViTs.
        held_out_fraction: Fraction of the images on which the choice is made, in (0, 1).
        seed: Seed of the order of the images and of the choice of held-out ones.

    Returns:
        The head, for raw features.

    Raises:
        ValueError: The training data is unusable (see `train_classes`), a learning rate is not
            > 0, or the training diverged.
    """
    if not lrs or not 0 < min(lrs) <= max(lrs) < torch.inf:
        raise ValueError(f"expected finite learning rates > 0, at least one, got {lrs}")
    classes, targets = train_classes(features, labels, num_classes)
    notes = class_notes(classes, num_classes)

    def train(rows: Tensor | None, rates: Sequence[float]) -> list[LinearHead]:
        heads = SgdHeads(
            features.shape[1],
            len(classes),
            rates,
            momentum=momentum,
            weight_decay=weight_decay,
            batch_norm=batch_norm,
            device=features.device,
        )
        count = len(features) if rows is None else len(rows)
        batches = _schedule(count, batch_size, epochs, seed, features.device)
        steps = epochs * (count // min(batch_size, count))
        for batch, factor in tracked(batches, "Training the classifier", steps, unit="steps"):
            picked = batch if rows is None else rows[batch]
            heads.step(features[picked], targets[picked], factor)
        return heads.heads(classes, num_classes)

    chosen, held_out = lrs[0], dict[float, float]()
    if len(lrs) > 1:
        kept, held = hold_out(targets, held_out_fraction, seed)
        if len(held):
            candidates = zip(lrs, train(kept, lrs), strict=True)
            held_out = _accuracies(candidates, features[held], labels[held])
            chosen = max(held_out, key=held_out.__getitem__)
        else:
            chosen = sorted(lrs)[len(lrs) // 2]
            notes.append(f"no class has two images for a choice: learning rate {chosen:g} used")
    (head,) = train(None, (chosen,))
    _require_finite(head, chosen)
    return LinearHead(head.weight, head.bias, lr=chosen, held_out=held_out, notes=tuple(notes))


def _accuracies(
    candidates: Iterable[tuple[float, LinearHead]], features: Tensor, labels: Tensor
) -> dict[float, float]:
    return {lr: score_head(head, features, labels).top1 for lr, head in candidates}


def _require_finite(head: LinearHead, lr: float) -> None:
    if not torch.isfinite(head.weight).all():
        raise ValueError(
            f"the linear classifier diverged at learning rate {lr:g}; use a smaller one, "
            "batch_norm, or L-BFGS"
        )


def _schedule(
    count: int, batch_size: int, epochs: int, seed: int, device: torch.device
) -> Iterator[tuple[Tensor, float]]:
    """Yield the positions of the images of each batch and the factor of the learning rate.

    The order changes every epoch. The learning rate follows half a cosine to 0, and is scaled by
    the requested batch size.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, count)
    total = epochs * (count // size)
    step = 0
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator).to(device)
        for batch in torch.split(order[: count - count % size], size):
            decay = (1 + math.cos(math.pi * step / total)) / 2
            yield batch, decay * batch_size / REFERENCE_BATCH
            step += 1


class SgdHeads:
    """Linear classifiers that are trained on the same batches with different learning rates.

    All are initialised to zero. Features may be cached or computed again in every step.

    Shapes: H heads, C classes, D dimensions, B images per batch.

    Args:
        dim: D.
        num_classes: C.
        lrs: H learning rates.
        momentum: In [0, 1).
        weight_decay: Added to the gradient, on weights and biases.
        batch_norm: Whether to normalise every dimension by the batch.
        device: Device of the features.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        lrs: Sequence[float],
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        batch_norm: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._lrs = torch.tensor(lrs, dtype=torch.float32, device=device)[:, None, None]
        # The bias is the last column, so that one update applies to both.
        self._parameters = torch.zeros(len(lrs), num_classes, dim + 1, device=device)
        self._velocity = torch.zeros_like(self._parameters)
        self._norm = torch.zeros(dim, device=device), torch.ones(dim, device=device)
        self._batch_norm = batch_norm

    def step(self, features: Tensor, targets: Tensor, factor: float) -> None:
        """Take one step with every head.

        Args:
            features: (B, D), raw; B > 1 with batch norm.
            targets: (B,) int64 in [0, C).
            factor: Factor of the learning rates at this step.
        """
        with exact_arithmetic(features.device):
            self._step(features, targets, factor)

    def _step(self, features: Tensor, targets: Tensor, factor: float) -> None:
        rows = self._normalize(features.float())
        num_heads, num_classes, _ = self._parameters.shape
        weight = self._parameters[:, :, :-1].flatten(0, 1)  # (H * C, D)
        scores = rows @ weight.T + self._parameters[:, :, -1].flatten()  # (B, H * C)
        residual = scores.view(-1, num_heads, num_classes).softmax(dim=2)  # (B, H, C)
        own = targets[:, None, None].expand(-1, num_heads, 1)
        residual.scatter_add_(2, own, residual.new_full((1, 1, 1), -1.0).expand(own.shape))
        flat = residual.flatten(1) / len(rows)  # (B, H * C)
        gradient = torch.cat([flat.T @ rows, flat.sum(dim=0)[:, None]], dim=1)
        gradient = gradient.view_as(self._parameters)  # (H, C, D + 1)
        if self._weight_decay:
            gradient.add_(self._parameters, alpha=self._weight_decay)
        self._velocity.mul_(self._momentum).add_(gradient)
        self._parameters.sub_(self._velocity * (factor * self._lrs))

    def _normalize(self, rows: Tensor) -> Tensor:
        if not self._batch_norm:
            return rows
        return torch.nn.functional.batch_norm(
            rows, *self._norm, training=True, momentum=BATCH_NORM_MOMENTUM, eps=BATCH_NORM_EPS
        )

    def heads(self, classes: Tensor, num_classes: int) -> list[LinearHead]:
        """Return the current heads, for raw features.

        Args:
            classes: Class of each row of a head, (C,) int64.
            num_classes: K, the number of all classes.

        Returns:
            One head for each learning rate, in their order.
        """
        mean, variance = self._norm
        scale = torch.ones_like(variance)
        if self._batch_norm:
            scale = (variance + BATCH_NORM_EPS).sqrt()
        return [
            LinearHead(
                *fold(matrix[:, :-1], matrix[:, -1], mean, scale, classes, num_classes),
                lr=float(lr),
            )
            for matrix, lr in zip(self._parameters, self._lrs.flatten().tolist(), strict=True)
        ]

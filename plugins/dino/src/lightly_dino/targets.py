"""The teacher's outputs become targets, with a centre or with Sinkhorn-Knopp.

Shapes: K prototypes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightly_core.parts.centering import Center
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_dino.base_config import PrototypeConfig


class Targets(nn.Module):
    """Turn logits of the teacher into probabilities that do not collapse.

    ``centering="softmax"`` subtracts a moving centre, which is updated afterwards. ``"sinkhorn"``
    balances the prototypes over the rows of a call.

    Args:
        config: Options of the method, without "auto".
    """

    def __init__(self, config: PrototypeConfig) -> None:
        super().__init__()
        centred = config.centering == "softmax"
        self.center = Center(int(config.output_dim), config.center_momentum) if centred else None

    def forward(
        self,
        logits: Tensor,
        temperature: float,
        *,
        rows: Tensor | None = None,
        center_on: Tensor | None = None,
    ) -> Tensor:
        """Return probabilities of the same shape, without gradient.

        Args:
            logits: (..., K).
            temperature: > 0.
            rows: Which rows centre and Sinkhorn use, (...) bool. None: all.
            center_on: Other logits (..., K) that the centre is updated with.
        """
        flat = logits.flatten(0, -2)
        counted = None if rows is None else rows.flatten()
        if self.center is None:
            return sinkhorn(flat, temperature, rows=counted).view(logits.shape)
        probabilities = self.center.probabilities(logits, temperature)
        if center_on is None:
            self.center.update(flat, counted)
        else:
            self.center.update(center_on)
        return probabilities


def teacher_metrics(targets: Tensor, cross_entropy: Tensor) -> dict[str, Tensor]:
    """Return metrics of the teacher's collapse and of the student's remaining error.

    Args:
        targets: The teacher's probabilities, (..., K).
        cross_entropy: The student's mean cross-entropy with them, a scalar in nats.

    Returns:
        ``teacher/entropy``, the mean entropy of the targets in [0, log(K)] nats, and
        ``teacher/kl``, the cross-entropy minus this entropy.
    """
    uncertainty = entropy(targets)
    return {"teacher/entropy": uncertainty, "teacher/kl": cross_entropy.detach() - uncertainty}


def entropy(probabilities: Tensor) -> Tensor:
    """Return the mean entropy in nats of rows (..., K), without gradient."""
    rows: Tensor = torch.special.entr(probabilities.detach()).sum(dim=-1)
    return rows.mean()

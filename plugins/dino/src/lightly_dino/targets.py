"""How the teacher's outputs become targets: temperature, and a centre or Sinkhorn.

K prototypes.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightly_core.parts.centering import Center
from lightly_core.parts.prototypes import DinoHead
from lightly_core.parts.schedules import teacher_temperature
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_dino.config import PrototypeConfig


class Targets(nn.Module):
    """Turn logits of the teacher into probabilities that do not collapse.

    Args:
        config: Says how.
        num_prototypes: K.
    """

    def __init__(self, config: PrototypeConfig, num_prototypes: int) -> None:
        super().__init__()
        centred = config.centering == "softmax"
        self.center = Center(num_prototypes, config.center_momentum) if centred else None

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
            rows: Which rows count, (...) bool; the others say nothing to centre and Sinkhorn.
            center_on: Other logits (..., K) that the centre is to follow.
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


def temperature_of(config: PrototypeConfig, step: int, total_steps: int) -> float:
    """Return the teacher's temperature in a step."""
    return teacher_temperature(
        step,
        total=total_steps,
        start=float(config.warmup_teacher_temp),
        end=float(config.teacher_temp),
        warmup_steps=config.warmup_teacher_temp_steps,
        max_share=config.warmup_teacher_temp_max_fraction,
    )


def dino_head(config: PrototypeConfig, dim: int, bottleneck_dim: int | None = None) -> DinoHead:
    """Build a head.

    Args:
        config: Its widths and depth; without "auto".
        dim: Width of the features.
        bottleneck_dim: In place of the config's.
    """
    return DinoHead(
        dim,
        int(config.output_dim),
        hidden_dim=config.hidden_dim,
        bottleneck_dim=bottleneck_dim or config.bottleneck_dim,
        num_layers=config.num_layers,
        batch_norm=config.batch_norm,
    )

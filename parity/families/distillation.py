"""The three distillation methods. Lightly SSL has none of them, so all references are plain forms.

B images, N = 6 positions, D channels, Q rows of the queue.
"""

from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_distillation.loss import feature_regression
from parity.building import PassThrough, build, take_steps, without_heads
from parity.records import Comparison, Function, TensorFunction

B, D, Q, GRID = 4, 6, 10, (3, 2)
STEPS = 3
IMAGES = {"images": (STEPS, B, D, *GRID)}


class Rolled:
    """A teacher whose features are the pixels, with channels rolled by one."""

    dim = D

    def map_shape(self, _: int) -> tuple[int, ...]:
        """Return (D, h, w)."""
        return (D, *GRID)

    def feature_map(self, images: Tensor, _: int) -> Tensor:
        """Return features (B, D, h, w) without gradient."""
        return images.detach().roll(1, dims=1)

    def pooled(self, images: Tensor) -> Tensor:
        """Return features of length 1, (B, D), without gradient."""
        return F.normalize(self.feature_map(images, 1).mean(dim=(2, 3)), dim=1)

    def pooled_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled features and the feature map."""
        return self.pooled(images), self.feature_map(images, 1)


def _steps(name: str, heads: tuple[str, ...], **options: object) -> TensorFunction:
    """Return a function of images that yields the losses of a method with `Rolled` as teacher."""

    def losses(images: Tensor) -> Iterator[Tensor]:
        options.update(mixup=False)
        with mock.patch("lightly_distillation.base.build_teacher", return_value=Rolled()):
            method = build(name, options, PassThrough(D), num_views=1, batch_size=B)
        yield from take_steps(without_heads(method, heads), [images])

    return losses


# ------------------------------------------------------------------------------ the plain form


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    return x @ y / (x.norm() * y.norm())


def divergence(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Return KL(teacher || student) of softmax(cosines / 0.07), a scalar in nats."""
    own, wanted = (torch.stack(x) / 0.07 for x in (student, teacher))
    probs = wanted.exp() / wanted.exp().sum()
    return (probs * (probs / (own.exp() / own.exp().sum())).log()).sum()


def positions(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features of student and teacher at each position, (B, N, D) each."""
    rows = images.flatten(2).transpose(1, 2)
    return rows, rows.detach().roll(1, dims=2)


def by_queue(student: Tensor, queue: list[Tensor]) -> Tensor:
    """Return the loss of pooled features with a queue, to which the teacher's are added first."""
    own = student.mean(dim=1)
    wanted = own.detach().roll(1, dims=1)
    queue += list(wanted)
    del queue[:-Q]
    total = torch.zeros(())
    for pair in zip(own, wanted, strict=True):
        total = total + divergence(*([_cosine(x, row) for row in queue] for x in pair)) / B
    return total


def _distillationv1_plain(images: Tensor) -> Iterator[Tensor]:
    queue: list[Tensor] = []
    for step in images:
        yield by_queue(positions(step)[0], queue)


def _distillationv2_plain(images: Tensor) -> Iterator[Tensor]:
    for step in images:
        student, teacher = positions(step)
        total = torch.zeros(())
        for own, wanted in zip(student.flatten(), teacher.flatten(), strict=True):
            total = total + (own - wanted) ** 2 / student.numel()
        yield total


def _distillationv3_plain(images: Tensor) -> Iterator[Tensor]:
    queue: list[Tensor] = []
    for step in images:
        student, teacher = positions(step)
        total = torch.zeros(())
        for pair in zip(student, teacher, strict=True):
            for n in range(student.shape[1]):
                sides = ([_cosine(x[n], y) for y in x] for x in pair)
                total = total + divergence(*sides) / (B * student.shape[1])
        yield by_queue(student, queue) + 0.5 * total


def _cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    pairs = zip(student.flatten(0, 1), teacher.detach().flatten(0, 1), strict=True)
    cosines = [_cosine(*pair) for pair in pairs]
    return 1 - sum(cosines) / len(cosines)


def _normalised_regression(student: Tensor, teacher: Tensor) -> Tensor:
    total = torch.zeros(())
    pairs = zip(student.flatten(0, 1), teacher.detach().flatten(0, 1), strict=True)
    for own, wanted in pairs:
        centred = wanted - wanted.mean()
        scaled = centred / (centred.square().mean() + 1e-5).sqrt()
        total = total + (own - scaled).square().sum() / student.numel()
    return total


MAPS = {"student": (B, 5, D), "teacher": (B, 5, D)}

COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="distillationv1", what="loss of 3 steps", equals="plain form", inputs=IMAGES,
        ours=_steps("distillationv1", ("head",), queue_size=Q), theirs=_distillationv1_plain,
    ),
    Function(
        method="distillationv2", what="loss of 3 steps", equals="plain form", inputs=IMAGES,
        ours=_steps("distillationv2", ("head",)), theirs=_distillationv2_plain,
    ),
    Function(
        method="distillationv2", what='loss="cosine"', equals="plain form", inputs=MAPS,
        ours=lambda student, teacher: feature_regression(student, teacher, "cosine"),
        theirs=_cosine_distance,
    ),
    Function(
        method="distillationv2", what='loss="normalized_mse"', equals="plain form", inputs=MAPS,
        ours=lambda student, teacher: feature_regression(student, teacher, "normalized_mse"),
        theirs=_normalised_regression,
    ),
    Function(
        method="distillationv3", what="loss of 3 steps", equals="plain form", inputs=IMAGES,
        ours=_steps(
            "distillationv3", ("global_head", "local_head"),
            queue_size=Q, loss_local_weight=0.5, local_chunk_size=7,
        ),
        theirs=_distillationv3_plain,
    ),
)  # fmt: skip

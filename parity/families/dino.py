"""DINO and the methods that build on it.

B images, K prototypes or channels, T = 2 global views, R = T * B, a grid of 3 x 2 patches.
"""

from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from lightly.loss import (
    DINOLoss,
    IBOTPatchLoss,
    KoLeoLoss,
    PatchKernelAlignmentLoss,
    roi_resample_to_grid,
)
from lightly.loss.swav_loss import sinkhorn
from torch import Tensor, nn

from lightly_core.contracts import Method
from lightly_core.parts.masking import block_mask
from lightly_dino.patch_kernels import cut, kernel_distance
from parity.building import PassThrough, StepLoss, build, step_loss, take_steps
from parity.records import Comparison, Function, TensorFunction

B, K, TEMPERATURE = 8, 6, 0.04
GRID = (3, 2)
SIZE = {"output_dim": K, "hidden_dim": 8}
TARGETS = {
    **SIZE,
    "bottleneck_dim": 8,
    "teacher_temp": TEMPERATURE,
    "warmup_teacher_temp": TEMPERATURE,
}
MAPS = {"first": (B, K, *GRID), "second": (B, K, *GRID), "local": (B, K, 2, 2)}


def _in_steps(count: int) -> dict[str, tuple[int, ...]]:
    return {name: (count, *shape) for name, shape in MAPS.items()}


# ------------------------------------------------------------------------------------- masks


def masks() -> Tensor:
    """Return which patches are masked, (B, T, 6): none, one or two of each view."""
    hidden = torch.arange(B)[:, None] + torch.arange(2)
    return torch.arange(6) < (hidden % 3)[..., None]


def _mask_token() -> Tensor:
    return torch.linspace(-1, 1, K)


def masked_method(name: str, heads: tuple[str, ...], **options: object) -> Method:
    """Return a method with hidden patches, without its heads."""
    method = StepLoss(name, options, heads).built(torch.zeros(B, K, *GRID))
    method.mask_token.data.copy_(_mask_token())
    return method


def tokens(*views: Tensor) -> Tensor:
    """Return the patches of views, view by view, (R, 6, K)."""
    return torch.cat([view.flatten(2).transpose(1, 2) for view in views])


class Outputs:
    """Outputs of student and teacher for two global views and a local one, without networks."""

    def __init__(self, first: Tensor, second: Tensor, local: Tensor) -> None:
        self.mask = masks().transpose(0, 1).flatten(0, 1)  # (R, 6)
        self.teacher = tokens(first, second).detach()
        student = tokens(first, second)
        self.student = torch.where(self.mask[..., None], _mask_token(), student)
        self.teacher_views = list(self.teacher.mean(dim=1).chunk(2))
        self.student_views = [*self.student.mean(dim=1).chunk(2), local.mean(dim=(2, 3))]

    def patch_loss(self, loss: IBOTPatchLoss) -> Tensor:
        """Return the loss of the hidden patches by Lightly SSL."""
        grids = self.mask.reshape(-1, *GRID)
        return loss(self.teacher[self.mask], self.student[self.mask], grids)

    def cross_entropy(self, targets: Tensor) -> Tensor:
        """Return the cross-entropy of hidden patches, averaged per view, then over all views."""
        log_probs = F.log_softmax(self.student[self.mask] / 0.1, dim=1)
        rows, total, start = -(targets * log_probs).sum(dim=1), torch.zeros(()), 0
        for hidden in self.mask.sum(dim=1).tolist():
            if hidden:
                total = total + rows[start : start + hidden].mean() / len(self.mask)
            start += hidden
        return total


def view_losses(targets: list[Tensor], logits: list[Tensor]) -> dict[tuple[int, int], Tensor]:
    """Return the mean cross-entropy of all pairs (t, s) of different views."""
    return {
        (t, s): -(target * F.log_softmax(logit / 0.1, dim=1)).sum(dim=1).mean()
        for t, target in enumerate(targets)
        for s, logit in enumerate(logits)
        if s != t
    }


# --------------------------------------------------------------------------------- DINO, iBOT

GRIDS = ((14, 14), (7, 7), (16, 12))


def _smallest_blocks(name: str) -> TensorFunction:
    """Return the size of the smallest block of a method's masks, for several grids."""

    def sizes() -> Tensor:
        found = []
        for grid in GRIDS:
            make = build(name, TARGETS, PassThrough(K), image_size=grid).sample_extras()
            with mock.patch("lightly_dino.masks.block_mask", wraps=block_mask) as sampled:
                make(np.random.default_rng(0))
            found.append(sampled.call_args.kwargs["smallest_block"])
        return torch.tensor(found).double()

    return sizes


def _dino_theirs(**views: Tensor) -> Iterator[Tensor]:
    loss = DINOLoss(output_dim=K, teacher_temp=TEMPERATURE)
    for batch in zip(*views.values(), strict=True):
        yield loss([view.detach() for view in batch[:2]], list(batch))


def _ibot_ours(**views: Tensor) -> Tensor:
    method = masked_method("ibot", ("heads.head",), **TARGETS)
    return step_loss(method, list(views.values()), extras={"mask": masks()})


def _ibot_theirs(**views: Tensor) -> Tensor:
    outputs = Outputs(**views)
    whole = DINOLoss(output_dim=K, teacher_temp=TEMPERATURE)
    patches = IBOTPatchLoss(output_dim=K, teacher_temp=TEMPERATURE)
    return whole(outputs.teacher_views, outputs.student_views) + outputs.patch_loss(patches)


# ------------------------------------------------------------------------------------- DINOv2


def _dinov2_ours(centering: str) -> TensorFunction:
    def losses(**views: Tensor) -> Iterator[Tensor]:
        options = {"centering": centering, **TARGETS}
        method = masked_method("dinov2", ("heads.dino",), **options)
        yield from take_steps(method, views.values(), {"mask": masks()})

    return losses


def _koleo(outputs: Outputs) -> Tensor:
    return sum(KoLeoLoss()(view) for view in outputs.student_views[:2])


def _dinov2_theirs(**views: Tensor) -> Iterator[Tensor]:
    whole = DINOLoss(output_dim=K, teacher_temp=TEMPERATURE)
    patches = IBOTPatchLoss(output_dim=K, teacher_temp=TEMPERATURE)
    for batch in zip(*views.values(), strict=True):
        outputs = Outputs(*batch)
        classes = whole(outputs.teacher_views, outputs.student_views)
        yield classes + outputs.patch_loss(patches) + 0.1 * _koleo(outputs)


def sinkhorn_targets(outputs: Outputs) -> tuple[list[Tensor], Tensor]:
    """Return targets of the views, and of the hidden patches. Each set is balanced as a whole."""
    classes = sinkhorn(torch.cat(outputs.teacher_views), epsilon=TEMPERATURE)
    return list(classes.chunk(2)), sinkhorn(outputs.teacher[outputs.mask], epsilon=TEMPERATURE)


def _dinov2_sinkhorn_theirs(**views: Tensor) -> Iterator[Tensor]:
    for batch in zip(*views.values(), strict=True):
        outputs = Outputs(*batch)
        classes, patches = sinkhorn_targets(outputs)
        losses = list(view_losses(classes, outputs.student_views).values())
        whole = sum(losses) / len(losses)
        yield whole + outputs.cross_entropy(patches) + 0.1 * _koleo(outputs)


# --------------------------------------------------------------------------- DINOv3, DINOv3.1


def _dinov3_ours(**views: Tensor) -> Tensor:
    options = {"gram_start_step": 0, "local_loss_weight": 0.5, "gram_loss_weight": 2.0}
    heads = ("heads.dino", "heads.ibot")
    method = masked_method("dinov3", heads, **options, **TARGETS)
    return step_loss(method, list(views.values()), extras={"mask": masks()})


def _dinov3_plain(**views: Tensor) -> Tensor:
    outputs = Outputs(**views)
    classes, patches = sinkhorn_targets(outputs)
    table = view_losses(classes, outputs.student_views)
    whole = sum((0.5 if s == 2 else 1.0) * loss for (_, s), loss in table.items()) / len(table)
    units = [F.normalize(x, dim=2) for x in (outputs.student, outputs.teacher)]
    gram = torch.zeros(())
    for student, teacher in zip(*units, strict=True):
        for i in range(6):
            for j in range(6):
                gap = student[i] @ student[j] - teacher[i] @ teacher[j]
                gram = gram + gap**2 / (len(units[0]) * 36)
    return whole + outputs.cross_entropy(patches) + 0.1 * _koleo(outputs) + 2 * gram


BOXES = torch.tensor([[0.1, 0.05, 0.5, 0.6], [0.3, 0.2, 0.4, 0.5]])  # top, left, height, width


def _paka_ours(student: Tensor, teacher: Tensor) -> Tensor:
    crops = [cut(maps, BOXES[:, None].expand(2, 1, 4), 5) for maps in (student, teacher)]
    rows = [crop.flatten(2).transpose(1, 2) for crop in crops]
    return kernel_distance(*rows)


def _paka_theirs(student: Tensor, teacher: Tensor) -> Tensor:
    top, left, height, width = (BOXES * 8).unbind(dim=1)
    corners = torch.stack([left, top, left + width, top + height], dim=1)
    rows = [roi_resample_to_grid(maps, corners, 5, 5) for maps in (student, teacher)]
    return PatchKernelAlignmentLoss()(*rows)


# -------------------------------------------------------------------------- SimDINO, SimDINOv2


class Roll(nn.Module):
    """A teacher that differs from the student: it rolls the channels by one."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., K), rolled by one."""
        return x.roll(1, dims=-1)


def _simdino(name: str, **options: object) -> Method:
    method = StepLoss(name, {**SIZE, **options}, ("heads.head",)).built(torch.zeros(B, K, *GRID))
    method.teacher["head"] = Roll()
    if name == "simdinov2":
        method.mask_token.data.copy_(_mask_token())
    return method


def _simdino_ours(**views: Tensor) -> Tensor:
    return step_loss(_simdino("simdino"), list(views.values()))


def _simdinov2_ours(**views: Tensor) -> Tensor:
    return step_loss(_simdino("simdinov2"), list(views.values()), extras={"mask": masks()})


def _simdino_of_the_paper(**views: Tensor) -> Tensor:
    method = _simdino("simdino", coding_rate_of="student")
    return step_loss(method, list(views.values()))


def _simdino_plain(
    first: Tensor, second: Tensor, local: Tensor, *, teacher_in_rate: bool = True
) -> Tensor:
    students = [view.mean(dim=(2, 3)) for view in (first, second, local)]
    teachers = [view.detach().mean(dim=(2, 3)).roll(1, dims=1) for view in (first, second)]
    return agreement_and_rate(students, teachers, teacher_in_rate)


def agreement_and_rate(
    students: list[Tensor], teachers: list[Tensor], teacher_in_rate: bool = True
) -> Tensor:
    """Return the cosine distance of different views minus the weighted coding rate.

    The rate is that of the mean of student and teacher, both of length 1, or of the student.
    """
    own = [F.normalize(x, dim=1) for x in students]
    wanted = [F.normalize(x, dim=1) for x in teachers]
    pairs = [(t, s) for t in range(2) for s in range(len(own)) if s != t]
    distance = 1 - sum((wanted[t] * own[s]).sum(dim=1).mean() for t, s in pairs) / len(pairs)
    rate = torch.zeros(())
    for student, teacher in zip(own, wanted, strict=False):
        rows = (student + teacher) / 2 if teacher_in_rate else student
        moments = sum(torch.outer(row, row) for row in rows)
        rate = rate + torch.logdet(torch.eye(K) + K / (B * 0.05) * moments) / 4
    return distance - (K + B) / (K * B) * rate


def _simdinov2_plain(**views: Tensor) -> Tensor:
    outputs = Outputs(**views)
    teachers = [view.roll(1, dims=1) for view in outputs.teacher_views]
    patches, wanted = torch.zeros(()), outputs.teacher.roll(1, dims=2)
    for image, hidden in enumerate(outputs.mask):
        for n in hidden.nonzero().flatten().tolist():
            cosine = F.cosine_similarity(outputs.student[image, n], wanted[image, n], dim=0)
            patches = patches + (1 - cosine) / (hidden.sum() * len(outputs.mask))
    return agreement_and_rate(outputs.student_views, teachers) + patches


def _blocks(name: str, sizes: list[int], equals: str) -> Function:
    return Function(
        method=name, what="smallest hidden block", equals=f"plain form: {equals}", inputs={},
        has_gradient=False, tolerance=0.0, ours=_smallest_blocks(name),
        theirs=lambda: torch.tensor(sizes).double(),
    )  # fmt: skip


COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="dino", what="loss of 4 steps, 2 global and 2 local views", equals="`DINOLoss`",
        inputs=dict.fromkeys(("global0", "global1", "local0", "local1"), (4, B, K)),
        ours=StepLoss("dino", TARGETS, ("heads.head",), steps=4),
        theirs=_dino_theirs,
    ),
    Function(
        method="ibot", what="loss of a step", equals="`DINOLoss` + `IBOTPatchLoss`", inputs=MAPS,
        ours=_ibot_ours, theirs=_ibot_theirs,
        differs="our centre of patches is updated with all patches, as in the authors' code; that "
        "of `IBOTPatchLoss` with the hidden ones",
    ),
    _blocks("ibot", [(min(grid) // 3) ** 2 for grid in GRIDS], "(shorter side // 3) ** 2"),
    Function(
        method="dinov2", what="loss of 3 steps, softmax with centre",
        equals="`DINOLoss` + `IBOTPatchLoss` + 0.1 * `KoLeoLoss`", inputs=_in_steps(3),
        ours=_dinov2_ours("softmax"), theirs=_dinov2_theirs, tolerance=1e-7,
        differs="`KoLeoLoss` adds 1e-8 to each coordinate of a difference",
    ),
    Function(
        method="dinov2", what="loss of 2 steps, Sinkhorn",
        equals="`swav_loss.sinkhorn`, plain form + 0.1 * `KoLeoLoss`", inputs=_in_steps(2),
        ours=_dinov2_ours("sinkhorn"), theirs=_dinov2_sinkhorn_theirs, tolerance=1e-7,
        differs="see the row above",
    ),
    _blocks("dinov2", [4] * len(GRIDS), "4 patches"),
    Function(
        method="dinov3", what="loss of a step with Gram anchoring and a weight of local views",
        equals="`swav_loss.sinkhorn`, plain form + 0.1 * `KoLeoLoss`", inputs=MAPS,
        ours=_dinov3_ours, theirs=_dinov3_plain, tolerance=1e-7,
        differs="the Gram teacher gets the global views, not larger ones; otherwise as dinov2",
    ),
    Function(
        method="dinov31", what="distance of patch kernels in crops",
        equals="`PatchKernelAlignmentLoss`, `roi_resample_to_grid`",
        inputs={"student": (2, K, 8, 8), "teacher": (2, K, 8, 8)},
        ours=_paka_ours, theirs=_paka_theirs, tolerance=1e-6,
        differs="the rest of the loss is that of dinov2; `PatchKernelAlignmentLoss` is float32",
    ),
    Function(
        method="simdino", what="loss of 2 global and 1 local view", equals="plain form",
        inputs=MAPS, ours=_simdino_ours, theirs=_simdino_plain,
        differs="the coding rate is that of the mean of student's and teacher's embeddings, as in "
        "the released code; in the paper that of the student's",
    ),
    Function(
        method="simdino", what='loss with coding_rate_of="student"', equals="plain form",
        inputs=MAPS, ours=_simdino_of_the_paper,
        theirs=lambda **views: _simdino_plain(**views, teacher_in_rate=False),
    ),
    Function(
        method="simdinov2", what="loss of 2 global and 1 local view", equals="plain form",
        inputs=MAPS, ours=_simdinov2_ours, theirs=_simdinov2_plain, differs="as simdino",
    ),
)  # fmt: skip

"""Building blocks that several methods use, LARS, schedules and k nearest neighbours."""

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from lightly.loss import KoLeoLoss, SIGReg
from lightly.loss.swav_loss import sinkhorn as their_sinkhorn
from lightly.models.modules.center import Center as TheirCenter
from lightly.models.utils import get_2d_sine_cosine_positional_embedding, update_momentum
from lightly.utils.benchmarking.knn import knn_predict
from lightly.utils.lars import LARS as TheirLARS
from lightly.utils.scheduler import cosine_schedule, cosine_warmup_schedule
from torch import Tensor, nn

from lightly_core.evaluation.knn import weighted_knn
from lightly_core.optim.lars import LARS
from lightly_core.parts.centering import Center
from lightly_core.parts.ema import EmaTeacher
from lightly_core.parts.koleo import koleo
from lightly_core.parts.schedules import cosine, warmup_cosine
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_core.parts.sliced import random_slices, sigreg
from lightly_methods.masked.predictor import sincos_positions
from parity.records import Comparison, Function, TensorFunction

# ------------------------------------------------------------------------------ the optimizer


def lars(optimizer: type, **options: object) -> TensorFunction:
    """Return the weights after five steps on a quadratic, from one weight and one bias."""

    def weights(weight: Tensor, bias: Tensor) -> Tensor:
        weight, bias = (nn.Parameter(x.detach().clone()) for x in (weight, bias))
        groups = [
            {"params": [weight], "weight_decay": 0.1},
            {"params": [bias], "weight_decay": 0.0, **options},
        ]
        stepper = optimizer(groups, lr=0.3, momentum=0.9)
        for _ in range(5):
            stepper.zero_grad()
            ((weight @ bias - 1) ** 2).sum().backward()
            stepper.step()
        return torch.cat([weight.detach().flatten(), bias.detach()])

    return weights


# ------------------------------------------------------------------------- teachers, schedules


def linear_layers(x: Tensor) -> tuple[nn.Module, nn.Module]:
    """Return a linear layer with weight `x`, and a copy with weight `x + 1`."""
    student = nn.Linear(*x.shape[::-1], bias=False)
    student.weight.data.copy_(x)
    start = copy.deepcopy(student)
    start.weight.data.add_(1)
    return student, start


def _ema_ours(x: Tensor) -> Tensor:
    student, start = linear_layers(x)
    teacher = EmaTeacher({"layer": start})
    for momentum in (0.9, 0.99):
        teacher.update_from({"layer": student}, momentum)
    return teacher["layer"].weight


def _ema_theirs(x: Tensor) -> Tensor:
    student, teacher = linear_layers(x)
    for momentum in (0.9, 0.99):
        update_momentum(student, teacher, momentum)
    return teacher.weight


def _center_ours(logits: Tensor) -> Iterator[Tensor]:
    center = Center(logits.shape[2], 0.9)
    for step in logits:
        yield center.probabilities(step, 0.04).sum(dim=0)
        center.update(step)


def _center_theirs(logits: Tensor) -> Iterator[Tensor]:
    center = TheirCenter((1, logits.shape[2]), momentum=0.9)
    for step in logits:
        yield F.softmax((step - center.value) / 0.04, dim=1).sum(dim=0)
        center.update(step)


def _cosine_theirs() -> Tensor:
    return torch.tensor([cosine_schedule(s, 50, 0.996, 1.0) for s in range(51)])


def _warmup_ours() -> Tensor:
    values = [
        warmup_cosine(s, warmup_steps=10, total_steps=50, final_fraction=0.01) for s in range(50)
    ]
    return torch.tensor(values)


def _warmup_theirs() -> Tensor:
    return torch.tensor([cosine_warmup_schedule(s, 50, 1.0, 0.01, 10, 0.0) for s in range(50)])


# ------------------------------------------------------------------------------------ SIGReg


class Sliced(SIGReg):
    """SIGReg with our directions."""

    def _generate_unit_vectors(self, *_: object) -> Tensor:
        return random_slices(self.num_vectors, 5, step=0, like=torch.zeros(1)).T


def _sigreg_ours(embeddings: Tensor) -> Tensor:
    return sigreg(embeddings, random_slices(8, 5, step=0, like=embeddings))


# --------------------------------------------------------------------------------------- kNN

LABELS = torch.arange(40) % 4


def _knn_ours(train: Tensor, query: Tensor) -> Tensor:
    labels = torch.arange(len(query)) % 4
    found = [
        weighted_knn(train, LABELS, query, labels, num_classes=4, k=k, temperature=t)
        for k in (1, 5, 20)
        for t in (0.07, 0.1)
    ]
    return torch.tensor([result.top1 for result in found])


def _knn_theirs(train: Tensor, query: Tensor) -> Tensor:
    labels = torch.arange(len(query)) % 4
    query, bank = F.normalize(query, dim=1), F.normalize(train, dim=1).T
    found = [
        knn_predict(query, bank, LABELS, 4, knn_k=k, knn_t=t)
        for k in (1, 5, 20)
        for t in (0.07, 0.1)
    ]
    return torch.stack([(result[:, 0] == labels).double().mean() for result in found])


COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="Sinkhorn", what="assignment", equals="`swav_loss.sinkhorn`",
        inputs={"logits": (12, 5)}, has_gradient=False,
        ours=lambda logits: sinkhorn(logits, 0.05),
        theirs=lambda logits: their_sinkhorn(logits, epsilon=0.05),
    ),
    Function(
        method="centre", what="targets of 4 steps", equals="`Center`", inputs={"logits": (4, 6, 5)},
        has_gradient=False, ours=_center_ours, theirs=_center_theirs,
    ),
    Function(
        method="KoLeo", what="loss", equals="`KoLeoLoss`", inputs={"embeddings": (12, 5)},
        ours=lambda embeddings: koleo(embeddings),
        theirs=lambda embeddings: KoLeoLoss()(embeddings), tolerance=1e-7,
        differs="`KoLeoLoss` adds 1e-8 to each coordinate of a difference",
    ),
    Function(
        method="SIGReg", what="statistic", equals="`SIGReg`", inputs={"embeddings": (2, 12, 5)},
        ours=_sigreg_ours, theirs=lambda embeddings: Sliced(num_vectors=8)(embeddings),
        tolerance=1e-7, differs="Lightly's knots are float32",
    ),
    Function(
        method="EMA teacher", what="weights after 2 updates", equals="`update_momentum`",
        inputs={"x": (3, 4)}, has_gradient=False, ours=_ema_ours, theirs=_ema_theirs,
    ),
    Function(
        method="LARS", what="weights after 5 steps", equals="`LARS`",
        inputs={"weight": (4, 3), "bias": (3,)}, has_gradient=False,
        ours=lars(LARS, adapt=False), theirs=lars(TheirLARS),
        differs="ours skips groups with adapt=False, theirs groups without weight decay",
    ),
    Function(
        method="cosine schedule", what="51 values", equals="`cosine_schedule`", inputs={},
        has_gradient=False,
        ours=lambda: torch.tensor([cosine(step, 0.996, 1.0, 50) for step in range(51)]),
        theirs=_cosine_theirs,
    ),
    Function(
        method="warm-up and cosine", what="50 values", equals="`cosine_warmup_schedule`", inputs={},
        has_gradient=False, ours=_warmup_ours, theirs=_warmup_theirs,
    ),
    Function(
        method="fixed positions", what="a grid of 3 x 3, halves exchanged",
        equals="`get_2d_sine_cosine_positional_embedding`", inputs={}, has_gradient=False,
        ours=lambda: sincos_positions((3, 3), 8).double().roll(4, dims=1), tolerance=1e-7,
        theirs=lambda: torch.from_numpy(
            get_2d_sine_cosine_positional_embedding(8, 3, cls_token=False)
        ).double(),
        differs="ours begin with the row, theirs with the column; theirs are float32",
    ),
    Function(
        method="weighted kNN", what="top-1 accuracy in 6 settings", equals="`knn_predict`",
        inputs={"train": (40, 5), "query": (24, 5)}, has_gradient=False, tolerance=0.0,
        ours=_knn_ours, theirs=_knn_theirs,
        differs="for top-5, classes without a vote count in `knn_predict` and not in ours",
    ),
)  # fmt: skip

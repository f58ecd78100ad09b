"""Whole training steps of methods for any backbone, compared with steps of Lightly's parts.

Both start from the same weights, get the same three batches and take steps of plain SGD.
"""

import copy

import torch
from lightly.loss import (
    DINOLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SwaVLoss,
    VICRegLoss,
)
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    DINOProjectionHead,
    SimCLRProjectionHead,
    SwaVProjectionHead,
    SwaVPrototypes,
)
from lightly.models.modules.heads import VICRegProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method
from lightly_core.testing.models import TinyConv
from parity.building import BATCH_SIZE, TOTAL_STEPS, build
from parity.records import Comparison, Outcome, Training
from parity.twins import Twins

D, HIDDEN, P, K = 32, 24, 12, 10
SIZE = {"hidden_dim": HIDDEN, "output_dim": P}
STEPS = 3
GLOBAL_SIDE, LOCAL_SIDE = 16, 8


def batches(num_local: int = 0) -> list[Batch]:
    """Return batches with two global views and some local ones."""
    generator = torch.Generator().manual_seed(0)
    sides = [GLOBAL_SIDE, GLOBAL_SIDE, *[LOCAL_SIDE] * num_local]
    return [
        Batch(
            [torch.randn(BATCH_SIZE, 3, side, side, generator=generator) for side in sides],
            torch.arange(BATCH_SIZE),
            num_global=2,
        )
        for _ in range(STEPS)
    ]


def start(name: str, options: dict[str, object]) -> tuple[Method, nn.Module, Twins]:
    """Return our method, a copy of its backbone for Lightly's parts, and their pairing."""
    model = TinyConv(feature_dim=D)
    method = build(name, options, model, image_size=(GLOBAL_SIDE, GLOBAL_SIDE))
    copied = copy.deepcopy(model.get_model())
    backbone = nn.Sequential(copied, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    twins = Twins(method)
    twins.add("backbone", model.get_model(), backbone)
    return method, backbone, twins


def _frozen_copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(False)


def _simclr() -> tuple[Outcome, Outcome]:
    method, backbone, twins = start("simclr", SIZE)
    head = SimCLRProjectionHead(D, HIDDEN, P)
    twins.add("projector", method.projector, head)
    criterion = NTXentLoss(temperature=0.1)

    def loss(batch: Batch, _: int) -> Tensor:
        return criterion(*head(backbone(torch.cat(batch.views))).chunk(2))

    return twins.train(batches(), loss)


def _vicreg() -> tuple[Outcome, Outcome]:
    method, backbone, twins = start("vicreg", SIZE)
    head = VICRegProjectionHead(D, HIDDEN, P)
    # Theirs has a bias in the last layer, which does not change the loss.
    head.layers[-1].bias.requires_grad_(False).zero_()
    twins.add("projector", method.projector, head)
    criterion = VICRegLoss()

    def loss(batch: Batch, _: int) -> Tensor:
        return criterion(*(head(backbone(view)) for view in batch.views))

    return twins.train(batches(), loss)


def _byol() -> tuple[Outcome, Outcome]:
    options = {**SIZE, "predictor_hidden_dim": HIDDEN, "momentum_start": 0.9}
    method, backbone, twins = start("byol", options)
    projector, predictor = BYOLProjectionHead(D, HIDDEN, P), BYOLPredictionHead(P, HIDDEN, P)
    twins.add("projector", method.projector, projector)
    twins.add("predictor", method.predictor, predictor)
    student = nn.Sequential(backbone, projector)
    teacher = _frozen_copy(student)
    criterion = NegativeCosineSimilarity()

    def loss(batch: Batch, _: int) -> Tensor:
        predictions = [predictor(student(view)) for view in batch.views]
        targets = [teacher(view) for view in batch.views]
        both = criterion(predictions[0], targets[1]) + criterion(predictions[1], targets[0])
        return 4 + 4 * both / 2

    def after_step(step: int) -> None:
        update_momentum(student, teacher, cosine_schedule(step, TOTAL_STEPS, 0.9, 1.0))

    return twins.train(batches(), loss, after_step)


def _swav() -> tuple[Outcome, Outcome]:
    options = {**SIZE, "num_prototypes": K, "freeze_prototypes_steps": 0}
    method, backbone, twins = start("swav", options)
    head, prototypes = SwaVProjectionHead(D, HIDDEN, P), SwaVPrototypes(P, K)
    prototypes.heads[0].bias.requires_grad_(False).zero_()
    twins.add("projector", method.projector, head)
    twins.add("prototypes", method.prototypes, prototypes)
    criterion = SwaVLoss()

    def loss(batch: Batch, _: int) -> Tensor:
        prototypes.normalize()
        by_size = (torch.cat(batch.views[:2]), torch.cat(batch.views[2:]))
        features = torch.cat([backbone(images) for images in by_size])
        scores = prototypes(nn.functional.normalize(head(features), dim=1)).chunk(4)
        return criterion(scores[:2], scores[2:])

    # Ours normalises after each step.
    return twins.train(batches(num_local=2), loss, lambda _: prototypes.normalize())


def _dino() -> tuple[Outcome, Outcome]:
    options = {
        "hidden_dim": HIDDEN, "bottleneck_dim": P, "output_dim": K, "momentum_start": 0.9,
        "teacher_temp": 0.04, "warmup_teacher_temp": 0.04, "freeze_last_layer_steps": 0,
    }  # fmt: skip
    method, backbone, twins = start("dino", options)
    head = DINOProjectionHead(D, HIDDEN, P, K)
    twins.add("head", method.heads["head"], head)
    student = nn.Sequential(backbone, head)
    # Weight normalisation allows no deep copy.
    copied = DINOProjectionHead(D, HIDDEN, P, K)
    copied.load_state_dict(head.state_dict())
    teacher = nn.Sequential(_frozen_copy(backbone), copied.requires_grad_(False))
    criterion = DINOLoss(output_dim=K, teacher_temp=0.04)

    def loss(batch: Batch, _: int) -> Tensor:
        by_size = (torch.cat(batch.views[:2]), torch.cat(batch.views[2:]))
        logits = [logit for images in by_size for logit in student(images).chunk(2)]
        return criterion(list(teacher(by_size[0]).chunk(2)), logits)

    def after_step(step: int) -> None:
        update_momentum(student, teacher, cosine_schedule(step, TOTAL_STEPS, 0.9, 1.0))

    return twins.train(batches(num_local=2), loss, after_step)


WHAT = "3 training steps with copied weights"

COMPARISONS: tuple[Comparison, ...] = (
    Training(
        method="simclr", what=WHAT, equals="`SimCLRProjectionHead`, `NTXentLoss`", run=_simclr,
        differs="both views share a forward pass, as in the paper's code; Lightly's examples have "
        "two",
    ),
    Training(
        method="vicreg", what=WHAT, equals="`VICRegProjectionHead`, `VICRegLoss`", run=_vicreg,
        differs="no bias in the last layer, as in the authors' code",
    ),
    Training(
        method="byol", what=WHAT,
        equals="`BYOLProjectionHead`, `BYOLPredictionHead`, `NegativeCosineSimilarity`, "
        "`update_momentum`",
        run=_byol, differs="theirs is 4 + 4 * loss, see the row above",
    ),
    Training(
        method="swav", what=WHAT, equals="`SwaVProjectionHead`, `SwaVPrototypes`, `SwaVLoss`",
        run=_swav,
        differs="views of one size share a forward pass and the head gets all, as in the authors' "
        "code; no bias in the prototypes",
    ),
    Training(
        method="dino", what=WHAT, equals="`DINOProjectionHead`, `DINOLoss`, `update_momentum`",
        run=_dino, differs="views of one size share a forward pass, as in the authors' code",
    ),
)  # fmt: skip

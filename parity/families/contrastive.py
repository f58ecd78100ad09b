"""Contrastive methods: SimCLR, DCL, DCLW, MoCo v2, MoCo v3, NNCLR, DenseCL.

B images, D channels, Q rows of a queue, S positions.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from lightly.loss import DCLLoss, DCLWLoss, NTXentLoss
from lightly.models.modules import NNMemoryBankModule
from lightly.models.utils import select_most_similar
from torch import Tensor

from parity.building import StepLoss, step_loss, take_steps
from parity.records import Comparison, Function, TensorFunction

B, D, Q = 8, 6, 32
VIEWS = {"first": (B, D), "second": (B, D)}


def queue_rows() -> Tensor:
    """Return Q directions (Q, D), the same at each call."""
    return F.normalize(torch.randn(Q, D, generator=torch.Generator().manual_seed(1)), dim=1)


def bank_loss(temperature: float) -> NTXentLoss:
    """Return NT-Xent with a memory bank that holds `queue_rows`."""
    loss = NTXentLoss(temperature=temperature, memory_bank_size=(Q, D))
    loss.memory_bank.bank = queue_rows()
    return loss


# ------------------------------------------------------------------------------------- MoCo v2

MOCO = {"queue_size": Q, "output_dim": D, "temperature": 0.2, "key_groups": 1}


def _mocov2_ours(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    method = StepLoss("mocov2", MOCO, ("projectors.image",)).built(first[0])
    method.queue.push(queue_rows())
    yield from take_steps(method, [first, second])


def _mocov2_theirs(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    loss = bank_loss(0.2)
    for query, key in zip(first, second.detach(), strict=True):
        yield loss(query, key)


# ------------------------------------------------------------------------------------- MoCo v3


def _mocov3_plain(first: Tensor, second: Tensor) -> Tensor:
    total = torch.zeros(())
    for queries, keys in ((first, second.detach()), (second, first.detach())):
        for i, query in enumerate(queries):
            cosines = torch.stack([query @ k / query.norm() / k.norm() for k in keys])
            logits = cosines / 0.2
            total = total + 2 * 0.2 * (logits.exp().sum().log() - logits[i]) / len(queries)
    return total


# --------------------------------------------------------------------------------------- NNCLR


def _nnclr_ours(negatives: str) -> TensorFunction:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        options = {"queue_size": Q, "output_dim": D, "negatives": negatives}
        method = StepLoss("nnclr", options, ("projector", "predictor")).built(first)
        method.queue.push(queue_rows())
        return step_loss(method, [first, second])

    return loss


def _nnclr_theirs(first: Tensor, second: Tensor) -> Tensor:
    bank = NNMemoryBankModule(size=(Q, D))
    bank.bank = queue_rows()
    loss = NTXentLoss(temperature=0.1)
    neighbours = [bank(view.detach()) for view in (first, second)]
    return (loss(neighbours[0], second) + loss(neighbours[1], first)) / 2


def _nnclr_plain(first: Tensor, second: Tensor) -> Tensor:
    rows, total = queue_rows(), torch.zeros(())
    for own, other in ((first, second), (second, first)):
        for i, view in enumerate(own.detach()):
            neighbour = max(rows, key=lambda row, view=view: float(row @ view))
            logits = torch.stack([neighbour @ p / p.norm() / 0.1 for p in other])
            total = total + (logits.exp().sum().log() - logits[i]) / (2 * len(own))
    return total


# ------------------------------------------------------------------------------------- DenseCL


def _densecl_ours(first: Tensor, second: Tensor) -> Tensor:
    heads = ("projectors.image", "projectors.dense")
    method = StepLoss("densecl", MOCO, heads).built(first)
    method.queue("image").push(queue_rows())
    method.queue("dense").push(queue_rows().flip(0))
    return step_loss(method, [first, second])


def _densecl_theirs(first: Tensor, second: Tensor) -> Tensor:
    second = second.detach()
    queries, keys = (view.flatten(2).transpose(1, 2) for view in (first, second))
    keys = select_most_similar(queries, keys, keys)
    image, dense = bank_loss(0.2), bank_loss(0.2)
    dense.memory_bank.bank = queue_rows().flip(0)
    whole = image(first.mean(dim=(2, 3)), second.mean(dim=(2, 3)))
    return 0.5 * whole + 0.5 * dense(queries.flatten(0, 1), keys.flatten(0, 1))


COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="simclr", what="loss", equals="`NTXentLoss`", inputs=VIEWS,
        ours=StepLoss("simclr", {"temperature": 0.1}),
        theirs=lambda first, second: NTXentLoss(temperature=0.1)(first, second),
    ),
    Function(
        method="dcl", what="loss", equals="`DCLLoss`", inputs=VIEWS,
        ours=StepLoss("dcl", {"temperature": 0.1}),
        theirs=lambda first, second: DCLLoss(temperature=0.1)(first, second),
    ),
    Function(
        method="dclw", what="loss", equals="`DCLWLoss`", inputs=VIEWS,
        ours=StepLoss("dclw", {"temperature": 0.1, "sigma": 0.5}),
        theirs=lambda first, second: DCLWLoss(temperature=0.1, sigma=0.5)(first, second),
    ),
    Function(
        method="mocov2", what="loss of 3 steps with a full queue",
        equals="`NTXentLoss` with a memory bank",
        inputs={"first": (3, B, D), "second": (3, B, D)},
        ours=_mocov2_ours, theirs=_mocov2_theirs,
        differs="our queue starts empty, theirs with random rows; both hold the same rows here",
    ),
    Function(
        method="mocov3", what="loss", equals="plain form", inputs=VIEWS,
        ours=StepLoss("mocov3", {"temperature": 0.2, "output_dim": D}, ("projector", "predictor")),
        theirs=_mocov3_plain,
    ),
    Function(
        method="nnclr", what='loss with negatives="all"',
        equals="`NTXentLoss`, `NNMemoryBankModule`", inputs=VIEWS,
        ours=_nnclr_ours("all"), theirs=_nnclr_theirs,
        differs="our queue starts empty; it keeps the first view, theirs what the caller passes",
    ),
    Function(
        method="nnclr", what="loss, default: the paper's negatives", equals="plain form",
        inputs=VIEWS, ours=_nnclr_ours("predictions"), theirs=_nnclr_plain,
    ),
    Function(
        method="densecl", what="loss", equals="two `NTXentLoss`, `select_most_similar`",
        inputs={"first": (B, D, 3, 2), "second": (B, D, 3, 2)},
        ours=_densecl_ours, theirs=_densecl_theirs,
        differs="the dense queue gets an image's mean position, as in the authors' code; Lightly's "
        "gets all positions",
    ),
)  # fmt: skip

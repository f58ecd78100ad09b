"""Methods without negatives that compare directions: BYOL, SimSiam, FastSiam, TiCo, MMCR, ReSA.

B images, D channels, V views.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from lightly.loss import MMCRLoss, NegativeCosineSimilarity, TiCoLoss
from torch import Tensor

from parity.building import StepLoss
from parity.records import Comparison, Function

B, D = 8, 6
VIEWS = {"first": (B, D), "second": (B, D)}
SIZE = {"output_dim": D, "hidden_dim": 8}
BOTH = ("projector", "predictor")
COSINE = NegativeCosineSimilarity()


def _symmetric(first: Tensor, second: Tensor) -> Tensor:
    return 0.5 * (COSINE(first, second.detach()) + COSINE(second, first.detach()))


def _fastsiam_theirs(**views: Tensor) -> Tensor:
    stacked = torch.stack(list(views.values()))
    total = torch.zeros(())
    for v, prediction in enumerate(stacked):
        others = torch.cat([stacked[:v], stacked[v + 1 :]]).detach()
        total = total + COSINE(prediction, others.mean(dim=0)) / len(stacked)
    return total


def _tico_theirs(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    loss = TiCoLoss(beta=0.9, rho=8.0)
    for pair in zip(first, second.detach(), strict=True):
        yield loss(*pair)


def _mmcr_theirs(**views: Tensor) -> Tensor:
    online = F.normalize(torch.stack(list(views.values()), dim=1), dim=2)  # (B, V, D)
    return MMCRLoss(lmda=0.0)(online, online.detach())


def _mmcr_plain(**views: Tensor) -> Tensor:
    units = F.normalize(torch.stack(list(views.values()), dim=1), dim=2)  # (B, V, D)
    means = (units.mean(dim=1) + units.detach().mean(dim=1)) / 2
    manifolds = [nuclear_norm(image) for image in units]
    return 0.01 * torch.stack(manifolds).mean() - nuclear_norm(means)


def nuclear_norm(matrix: Tensor) -> Tensor:
    """Return the sum of the square roots of the eigenvalues of ``matrix matrix^T``."""
    narrow = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return torch.linalg.eigvalsh(narrow @ narrow.T).sqrt().sum()


def resa_plain(first: Tensor, second: Tensor) -> Tensor:
    """Return ReSA's loss: cross-entropy of all pairs of views, with Sinkhorn assignments."""
    units = [F.normalize(x, dim=1) for x in (first, second)]
    fixed = [x.detach() for x in units]
    targets = (fixed[0] @ fixed[0].T / 0.05).exp()
    for _ in range(3):
        targets = targets / targets.sum(dim=0, keepdim=True)
        targets = targets / targets.sum(dim=1, keepdim=True)
    total = torch.zeros(())
    for s, t in ((0, 1), (1, 0)):
        for b in range(B):
            logits = torch.stack([units[s][b] @ fixed[t][n] / 0.4 for n in range(B)])
            total = total - (targets[b] * (logits - logits.exp().sum().log())).sum() / (2 * B)
    return total


COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="byol", what="loss", equals="`NegativeCosineSimilarity`, mean of both directions",
        inputs=VIEWS, ours=StepLoss("byol", SIZE, BOTH), theirs=_symmetric,
        factor=4, offset=4,
        differs="ours = 4 + 4 * theirs, the paper's sum of two squared distances",
    ),
    Function(
        method="simsiam", what="loss",
        equals="`NegativeCosineSimilarity`, mean of both directions",
        inputs=VIEWS, ours=StepLoss("simsiam", SIZE, BOTH), theirs=_symmetric,
    ),
    Function(
        method="fastsiam", what="loss of 4 views",
        equals="`NegativeCosineSimilarity` with the mean of the other views",
        inputs={f"view{v}": (B, D) for v in range(4)},
        ours=StepLoss("fastsiam", SIZE, BOTH, num_global=4), theirs=_fastsiam_theirs,
    ),
    Function(
        method="tico", what="loss of 3 steps", equals="`TiCoLoss`",
        inputs={"first": (3, B, D), "second": (3, B, D)},
        ours=StepLoss("tico", SIZE, steps=3), theirs=_tico_theirs,
    ),
    Function(
        method="mmcr", what="loss of 3 views, default", equals="`MMCRLoss` of directions",
        inputs={f"view{v}": (B, D) for v in range(3)},
        ours=StepLoss("mmcr", SIZE, num_global=3), theirs=_mmcr_theirs,
    ),
    Function(
        method="mmcr", what="loss of 3 views with compression_weight=0.01", equals="plain form",
        inputs={f"view{v}": (B, D) for v in range(3)},
        ours=StepLoss("mmcr", {**SIZE, "compression_weight": 0.01}, num_global=3),
        theirs=_mmcr_plain,
        differs="the manifold consists of the student's views, as in the authors' code; in "
        "`MMCRLoss` of those of the teacher too",
    ),
    Function(
        method="resa", what="loss", equals="plain form", inputs=VIEWS,
        ours=StepLoss("resa", SIZE, BOTH), theirs=resa_plain,
    ),
)  # fmt: skip

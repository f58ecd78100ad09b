"""Methods that hide patches: MAE, SimMIM, MSN, PMSN, I-JEPA, CAPI.

B images, N = h * w patches, M hidden ones, D channels, K prototypes or clusters.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from lightly.loss import CAPILoss, MSNLoss, PMSNLoss
from lightly.models.modules import CAPIProjectionHead
from lightly.models.utils import apply_masks, get_at_index, normalize_mean_var, patchify
from torch import Tensor, nn

from lightly_core.contracts import Method
from lightly_methods.masked.ijepa import block_loss, block_targets
from lightly_methods.masked.mae import hidden_pixel_mse
from lightly_methods.masked.simmim import hidden_pixel_l1
from parity.building import PassThrough, StepLoss, build, step_loss
from parity.records import Comparison, Function, TensorFunction

B, D, K = 4, 8, 7
GRID = (3, 3)


def numbers(count: int, seed: int) -> Tensor:
    """Return `count` of 9 patch numbers for each image in ascending order, (B, count)."""
    generator = torch.Generator().manual_seed(seed)
    sampled = [torch.randperm(9, generator=generator)[:count].sort().values for _ in range(B)]
    return torch.stack(sampled)


# ------------------------------------------------------------------------------- MAE, SimMIM

HIDDEN = numbers(5, seed=1)
PIXELS = {"images": (B, 3, 6, 6)}


def _mae_ours(prediction: Tensor, images: Tensor) -> Tensor:
    return hidden_pixel_mse(prediction, images, HIDDEN, 2, normalize=True)


def _mae_theirs(prediction: Tensor, images: Tensor) -> Tensor:
    targets = normalize_mean_var(get_at_index(patchify(images, 2), HIDDEN), dim=-1)
    return nn.MSELoss()(prediction, targets)


def _simmim_ours(prediction: Tensor, images: Tensor) -> Tensor:
    mask = torch.zeros(B, 9, dtype=torch.bool).scatter(1, HIDDEN, True)
    return hidden_pixel_l1(prediction, images, mask, 2)


def _simmim_theirs(prediction: Tensor, images: Tensor) -> Tensor:
    return nn.L1Loss()(get_at_index(prediction, HIDDEN), get_at_index(patchify(images, 2), HIDDEN))


def simmim_counts() -> Tensor:
    """Return how many patches SimMIM hides, for several grids and ratios."""
    found = []
    for side, ratio in COUNTS:
        options, size = {"mask_ratio": ratio, "mask_cell": 1}, (side, side)
        method = build("simmim", options, PassThrough(D), image_size=size)
        extras = method.sample_extras()(np.random.default_rng(0))
        found.append(int(extras["mask"].sum()))
    return torch.tensor(found).double()


COUNTS = ((7, 0.6), (6, 0.6), (14, 0.6), (7, 0.5), (5, 0.75))


# --------------------------------------------------------------------------------- MSN, PMSN


def _prototypes() -> Tensor:
    return torch.randn(K, D, generator=torch.Generator().manual_seed(2))


KEPT = numbers(6, seed=3)


def _msn_ours(name: str) -> TensorFunction:
    def loss(target: Tensor, anchor: Tensor, focal: Tensor) -> Tensor:
        options = {"output_dim": D, "hidden_dim": 8, "num_prototypes": K}
        method = StepLoss(name, options, ("head",)).built(target)
        method.prototypes.weight.data.copy_(_prototypes())
        return step_loss(method, [target, anchor, focal], extras={"keep": KEPT[:, None]})

    return loss


def _msn_theirs(loss: MSNLoss) -> TensorFunction:
    def value(target: Tensor, anchor: Tensor, focal: Tensor) -> Tensor:
        kept = get_at_index(anchor.flatten(2).transpose(1, 2), KEPT)
        anchors = torch.cat([kept.mean(dim=1), focal.mean(dim=(2, 3))])
        return loss(anchors, target.mean(dim=(2, 3)), _prototypes())

    return value


# ------------------------------------------------------------------------------------- I-JEPA

BLOCKS = [numbers(3, seed) for seed in (4, 5)]  # two targets


def _ijepa_ours(prediction: Tensor, teacher: Tensor) -> Tensor:
    return block_loss(prediction, block_targets(teacher, torch.stack(BLOCKS, dim=1)))


def _ijepa_theirs(prediction: Tensor, teacher: Tensor) -> Tensor:
    targets = apply_masks(F.layer_norm(teacher.detach(), (D,)), BLOCKS)
    return nn.SmoothL1Loss()(prediction.transpose(0, 1).flatten(0, 1), targets)


# --------------------------------------------------------------------------------------- CAPI

PREDICTED = numbers(2, seed=6)


class VisibleAsPredicted(nn.Module):
    """Replaces the predictor: the predictions are the first visible patches."""

    def forward(self, tokens: dict[str, Tensor], _: Tensor, hidden: Tensor) -> Tensor:
        """Return as many visible patches as there are hidden ones."""
        return tokens["patch_tokens"][:, : hidden.shape[1]]


def _capi() -> Method:
    options = {"num_clusters": K, "predictor_depth": 1, "predictor_head_dim": 4}
    method = StepLoss("capi", options, ()).built(torch.zeros(B, D, *GRID))
    method.predictor = VisibleAsPredicted()
    for head, seed in ((method.head, 7), (method.clustering, 8)):
        weight = head.prototypes.weight
        weight.data.copy_(torch.randn(K, D, generator=torch.Generator().manual_seed(seed)))
    method.clustering.bias.data.copy_(torch.linspace(-0.1, 0.1, K))
    return method


def _capi_ours(images: Tensor) -> Tensor:
    return step_loss(_capi(), [images], extras={"keep": KEPT, "predict": PREDICTED})


def _capi_theirs(images: Tensor) -> Tensor:
    ours = _capi()
    student = CAPIProjectionHead(D, K, weight_norm=True)  # with gains of 1
    student.layer.weight_v.data.copy_(ours.head.prototypes.weight)
    clustering = CAPIProjectionHead(D, K, bias=True)
    rows = F.normalize(ours.clustering.prototypes.weight, dim=1)
    clustering.layer.weight.data.copy_(math.sqrt(D) * rows)
    clustering.layer.bias.data.copy_(ours.clustering.bias)
    tokens = images.flatten(2).transpose(1, 2)
    teacher = clustering(tokens.detach())
    loss = CAPILoss()
    prediction = student(get_at_index(tokens, KEPT)[:, :2])
    return loss(teacher, prediction, PREDICTED) + loss(teacher, teacher)


VIEWS = {"target": (B, D, *GRID), "anchor": (B, D, *GRID), "focal": (B, D, 2, 2)}

COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="mae", what="loss of hidden pixels", equals="`patchify`, `normalize_mean_var`",
        inputs={"prediction": (B, 5, 12), **PIXELS}, ours=_mae_ours, theirs=_mae_theirs,
    ),
    Function(
        method="simmim", what="loss of hidden pixels", equals="`patchify`, `L1Loss` of torch",
        inputs={"prediction": (B, 9, 12), **PIXELS}, ours=_simmim_ours, theirs=_simmim_theirs,
        differs="the mean is taken per image first, which is the same if all hide equally many "
        "patches",
    ),
    Function(
        method="simmim", what="number of hidden patches", equals="plain form: rounded up",
        inputs={}, has_gradient=False, tolerance=0.0, ours=simmim_counts,
        theirs=lambda: torch.tensor([math.ceil(r * side**2) for side, r in COUNTS]).double(),
    ),
    Function(
        method="msn", what="loss of a masked and a focal anchor", equals="`MSNLoss`",
        inputs=VIEWS, ours=_msn_ours("msn"), theirs=_msn_theirs(MSNLoss()),
    ),
    Function(
        method="pmsn", what="loss of a masked and a focal anchor", equals="`PMSNLoss`",
        inputs=VIEWS, ours=_msn_ours("pmsn"), theirs=_msn_theirs(PMSNLoss()),
    ),
    Function(
        method="ijepa", what="loss of 2 target blocks",
        equals="`apply_masks`, `SmoothL1Loss` of torch",
        inputs={"prediction": (B, 2, 3, D), "teacher": (B, 9, D)},
        ours=_ijepa_ours, theirs=_ijepa_theirs,
    ),
    Function(
        method="capi", what="loss with the initial gains of the student's head",
        equals="`CAPILoss`, `CAPIProjectionHead`", inputs={"images": (B, D, *GRID)},
        ours=_capi_ours, theirs=_capi_theirs, tolerance=1e-7,
        differs="clusters keep the length sqrt(D); `CAPILoss` adds 1e-8 to sums",
    ),
)  # fmt: skip

"""Methods whose loss uses statistics of a batch: from Barlow Twins to VISReg.

B images, D channels, V views.
"""

from functools import partial

import torch
import torch.nn.functional as F
from lightly.loss import (
    BarlowTwinsLoss,
    EMPSSLLoss,
    FroSSLLoss,
    LeJEPALoss,
    SIGReg,
    VICRegLLoss,
    VICRegLoss,
    VISRegLoss,
    WMSELoss,
)
from torch import Tensor

from lightly_core.parts.sliced import random_slices
from parity.building import PassThrough, StepLoss, build, step_loss, without_heads
from parity.records import Comparison, Function, TensorFunction

B, D = 8, 4
VIEWS = {"first": (B, D), "second": (B, D)}
THREE = {f"view{v}": (B, D) for v in range(3)}
SIZE = {"output_dim": D, "hidden_dim": 8}


# ------------------------------------------------------------------------------------- W-MSE


def _wmse_theirs(**views: Tensor) -> Tensor:
    torch.manual_seed(0)  # our order of step 0
    loss = WMSELoss(embedding_dim=2, w_size=4, num_samples=len(views), eps=1e-5)
    return loss(torch.cat(list(views.values())))


# -------------------------------------------------------------------------------------- INTL


def intl_plain(channels: bool) -> TensorFunction:
    """Return INTL's loss as loops. With `channels`, channels are whitened instead of images."""

    def whiten(view: Tensor) -> Tensor:
        rows = view.T if channels else view
        rows = rows - rows.mean(dim=1, keepdim=True)
        moments = rows @ rows.T / (rows.shape[1] - 1)
        trace = sum(moments[i, i] for i in range(len(moments)))
        root = torch.eye(len(moments))
        for _ in range(4):
            root = (3 * root - root @ root @ root @ (moments / trace)) / 2
        white = root / trace**0.5 @ rows
        return white.T if channels else white

    def loss(**views: Tensor) -> Tensor:
        white = [whiten(view) for view in views.values()]
        traces = [
            sum((1 - row.var()) ** 2 for row in (view.T if channels else view)) for view in white
        ]
        distance = torch.zeros(())
        for other in white[1:]:
            for one, two in zip(white[0], other, strict=True):
                gap = (one / one.norm() - two / two.norm()).square().sum()
                distance = distance + gap / (B * (len(white) - 1))
        return distance + 0.05 * (traces[0] + sum(traces[1:]) / (len(traces) - 1))

    return loss


def _intl_ours(whitening: str) -> StepLoss:
    options = {**SIZE, "whitening": whitening, "trace_weight": 0.05}
    return StepLoss("intl", options)


# ---------------------------------------------------------------------------- FroSSL, EMP-SSL


def _frossl_theirs(**views: Tensor) -> Tensor:
    return FroSSLLoss()([view - view.mean(dim=0) for view in views.values()])


def large(function: TensorFunction) -> TensorFunction:
    """Scale the inputs by 1e6, so that the 1e-5 that batch norms add to variances is negligible."""
    return lambda **views: function(**{name: 1e6 * view for name, view in views.items()})


def _emp_theirs(**views: Tensor) -> Tensor:
    # Theirs adds the coding rate, which should be maximised.
    units = [F.normalize(view, dim=1) for view in views.values()]
    return -EMPSSLLoss(tcr_eps=0.2, inv_coef=-200.0)(units)


# ---------------------------------------------------------------------------- LeJEPA, VISReg


def slices_of(count: int) -> Tensor:
    """Return the directions of step 0, (D, count)."""
    return random_slices(count, D, step=0, like=torch.zeros(1)).T


class SlicedAlike(SIGReg):
    """SIGReg with our directions."""

    def _generate_unit_vectors(self, *_: object) -> Tensor:
        return slices_of(self.num_vectors)


def _lejepa_theirs(**views: Tensor) -> Tensor:
    loss = LeJEPALoss(lambda_param=0.05)
    loss.sigreg = SlicedAlike(num_vectors=16)
    stacked = torch.stack(list(views.values()))
    return loss(global_proj=stacked[:2], local_proj=stacked[2:])


def _visreg_theirs(**views: Tensor) -> Tensor:
    stacked = torch.stack(list(views.values()))
    loss = VISRegLoss(num_slices=16, lambda_shape=0.0)
    return loss(global_proj=stacked[:2], local_proj=stacked[2:])


def visreg_plain(**views: Tensor) -> Tensor:
    """Compare sorted projections with quantiles of variance 1."""
    places = torch.arange(1, B + 1) / (B + 1)
    quantiles = torch.special.ndtri(places.double())
    quantiles = quantiles / quantiles.square().mean().sqrt()
    stacked = torch.stack(list(views.values()))
    shape, scale, centre = (torch.zeros(()) for _ in range(3))
    for view in stacked:
        mean = sum(view) / B
        deviation = (sum((row - mean) ** 2 for row in view) / B).sqrt()
        scale = scale + (1 - deviation).square().mean() / len(stacked)
        centre = centre + mean.square().mean() / len(stacked)
        standard = (view - mean) / (deviation.detach() + 1e-4)
        for direction in slices_of(16).T:
            along = torch.stack([row @ direction for row in standard]).sort().values
            shape = shape + (along - quantiles).square().mean() / (16 * len(stacked))
    distance = (stacked - stacked[:2].mean(dim=0)).square().mean()
    return 0.1 * distance + 0.9 * (scale + shape + centre)


# ------------------------------------------------------------------------------------ VICRegL

CROPS = torch.tensor(
    [[0.1, 0.0, 0.6, 0.7, 0.0, 0.0], [0.3, 0.2, 0.5, 0.6, 1.0, 0.0], [0.2, 0.4, 0.3, 0.3, 0.0, 0.0]]
)


def _vicregl_ours(*matches: int, everything: bool) -> TensorFunction:
    def loss(**views: Tensor) -> Tensor:
        options = {
            "local_output_dim": D, "local_hidden_dim": 8, "num_matches": matches,
            "match_all_features": everything,
        }  # fmt: skip
        method = build("vicregl", {**SIZE, **options, "alpha": 0.6}, PassThrough(D), num_views=2)
        without_heads(method, ("projector", "local_projector"))
        crops = [crop.expand(B, -1) for crop in CROPS[: len(views)]]
        return step_loss(method, list(views.values()), crops=crops)

    return loss


def grid_of(crop: Tensor, height: int, width: int) -> Tensor:
    """Return the coordinates of a view's positions in its image, (B, height, width, 2)."""
    left, top, across, down, mirrored, _ = crop.tolist()
    columns = [(i + 0.5) / width for i in range(width)]
    columns = [1 - x for x in columns] if mirrored else columns
    places = [
        [(left + across * x, top + down * (j + 0.5) / height) for x in columns]
        for j in range(height)
    ]
    return torch.tensor(places).expand(B, -1, -1, -1)


def _vicregl_theirs(**views: Tensor) -> Tensor:
    loss = VICRegLLoss(alpha=0.6, num_matches=(1, 1))
    features = [(view.mean(dim=(2, 3)), view.permute(0, 2, 3, 1)) for view in views.values()]
    grids = [grid_of(c, *v.shape[2:]) for c, v in zip(CROPS, views.values(), strict=False)]
    local = {}
    if len(views) > 2:
        local = {"local_view_features": features[2:], "local_view_grids": grids[2:]}
    return loss(features[:2], grids[:2], **local)


def variance_and_covariance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the variance and the covariance term of rows (B, D)."""
    variance, covariance = torch.zeros(()), torch.zeros(())
    centred = rows - rows.mean(dim=0)
    for i in range(D):
        variance = variance + (1 - (rows[:, i].var() + 1e-4).sqrt()).relu() / D
        for j in range(D):
            if i != j:
                moment = (centred[:, i] * centred[:, j]).sum() / (B - 1)
                covariance = covariance + moment**2 / D
    return variance, covariance


def vicregl_plain(everything: bool, **views: Tensor) -> Tensor:
    """Return VICRegL's loss of whole views and of the matches of each pair of views.

    Args:
        everything: Whether all positions are matched by their features, not 3 and 2 of them.
        views: Feature maps (B, D, h, w).
    """
    maps = [view.flatten(2).transpose(1, 2) for view in views.values()]  # (B, N, D) each
    places = [grid_of(c, *v.shape[2:]) for c, v in zip(CROPS, views.values(), strict=False)]
    places = [place.flatten(1, 2) for place in places]
    whole = [view.mean(dim=(2, 3)) for view in views.values()]
    pairs = [(i, j) for i in range(2) for j in range(len(maps)) if i != j]
    distance = sum((whole[i] - whole[j]).square().mean() for i, j in pairs) / len(pairs)
    terms = [variance_and_covariance(view) for view in whole]
    variance, covariance = (sum(one) / len(terms) for one in zip(*terms, strict=True))
    total = 0.6 * (25 * distance + 25 * variance + covariance)
    for keys in (maps, places):
        for i, j in pairs:
            for a, b, count in ((i, j, 3), (j, i, 2)):
                if everything and keys is maps:
                    count = maps[a].shape[1]
                matched = plain_matches(maps[a], maps[b], keys[a], keys[b], count)
                total = total + 0.4 * matched / (2 * len(pairs))
    return total


def plain_matches(own: Tensor, other: Tensor, key: Tensor, other_key: Tensor, count: int) -> Tensor:
    """Return VICReg's loss of the `count` best matches, in the order of their positions."""
    picked, found = [], []
    for b in range(B):
        pairs = [[(x - y).detach() for y in other_key[b]] for x in key[b]]
        gaps = [[float(pair.norm()) for pair in row] for row in pairs]
        numbers = sorted(sorted(range(len(gaps)), key=lambda n, gaps=gaps: min(gaps[n]))[:count])
        picked.append(torch.stack([own[b, n] for n in numbers]))
        nearest = [gaps[n].index(min(gaps[n])) for n in numbers]
        found.append(torch.stack([other[b, n] for n in nearest]))
    first, second = torch.stack(picked), torch.stack(found)  # (B, count, D)
    total = 25 * (first - second).square().mean()
    for slot in range(count):
        for side in (first, second):
            variance, covariance = variance_and_covariance(side[:, slot])
            total = total + (25 * variance + covariance) / (2 * count)
    return total


MAPS = {"first": (B, D, 3, 2), "second": (B, D, 3, 2)}

COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="barlowtwins", what="loss", equals="`BarlowTwinsLoss`", inputs=VIEWS,
        ours=StepLoss("barlowtwins", {**SIZE, "off_diagonal_weight": 0.005}),
        theirs=lambda first, second: BarlowTwinsLoss(lambda_param=0.005)(first, second),
        differs="our default weight is 0.0051, as in the authors' code, theirs 0.005",
    ),
    Function(
        method="vicreg", what="loss", equals="`VICRegLoss`", inputs=VIEWS,
        ours=StepLoss("vicreg", SIZE),
        theirs=lambda first, second: VICRegLoss()(first, second),
    ),
    Function(
        method="vicregl", what="loss of 2 global and 1 local view, one match a pair",
        equals="`VICRegLLoss`", inputs={**MAPS, "local": (B, D, 2, 2)},
        ours=_vicregl_ours(1, 1, everything=False), theirs=_vicregl_theirs,
        differs="with more matches their order differs: by position, as in the authors' code, in "
        "`VICRegLLoss` by distance",
    ),
    Function(
        method="vicregl", what="loss of 2 global and 1 local view, all matches by features",
        equals="plain form", inputs={**MAPS, "local": (B, D, 2, 2)},
        ours=_vicregl_ours(3, 2, everything=True), theirs=partial(vicregl_plain, True),
        differs="this is the default, as in the released code; the next row is the paper's form",
    ),
    Function(
        method="vicregl", what="loss of 2 global and 1 local view, 3 and 2 matches a pair",
        equals="plain form", inputs={**MAPS, "local": (B, D, 2, 2)},
        ours=_vicregl_ours(3, 2, everything=False), theirs=partial(vicregl_plain, False),
    ),
    Function(
        method="wmse", what="loss of 3 views in 2 sub-batches", equals="`WMSELoss`",
        inputs={f"view{v}": (B, 2) for v in range(3)},
        ours=StepLoss("wmse", {**SIZE, "output_dim": 2, "whitening_size": 4}, num_global=3),
        theirs=_wmse_theirs,
        differs="the order of the images depends on the step; both use that of step 0 here",
    ),
    Function(
        method="intl", what='loss of 3 views, whitening="images"', equals="plain form",
        inputs=THREE, ours=_intl_ours("images"), theirs=intl_plain(channels=False),
    ),
    Function(
        method="intl", what='loss of 3 views, whitening="channels"', equals="plain form",
        inputs=THREE, ours=_intl_ours("channels"), theirs=intl_plain(channels=True),
    ),
    Function(
        method="frossl", what="loss of 3 views", equals="`FroSSLLoss` of centred projections",
        inputs=THREE, ours=large(StepLoss("frossl", SIZE)), theirs=large(_frossl_theirs),
        differs="columns are centred, as in the authors' code",
    ),
    Function(
        method="emp-ssl", what="loss of 3 views",
        equals="`EMPSSLLoss` of directions, coding rate subtracted", inputs=THREE,
        ours=StepLoss("emp-ssl", SIZE), theirs=_emp_theirs, offset=200,
        differs="`EMPSSLLoss` adds the coding rate, which the paper maximises",
    ),
    Function(
        method="lejepa", what="loss of 2 global and 1 local view", equals="`LeJEPALoss`, `SIGReg`",
        inputs=THREE, ours=StepLoss("lejepa", {**SIZE, "num_slices": 16}), theirs=_lejepa_theirs,
        tolerance=1e-8,
        differs="directions depend on the step, both use ours here; Lightly's knots are float32",
    ),
    Function(
        method="visreg", what="loss without shape term", equals="`VISRegLoss`", inputs=THREE,
        ours=StepLoss("visreg", {**SIZE, "num_slices": 16, "shape_weight": 0.0}),
        theirs=_visreg_theirs,
    ),
    Function(
        method="visreg", what="loss", equals="plain form", inputs=THREE,
        ours=StepLoss("visreg", {**SIZE, "num_slices": 16}), theirs=visreg_plain,
        differs="quantiles in the shape term have variance 1; those of `VISRegLoss` have a "
        "smaller one in small batches",
    ),
)  # fmt: skip

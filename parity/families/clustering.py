"""Methods that assign images to clusters: SwAV, SwAVQueue, SMoG, DeepCluster-v2.

B images, D channels, K prototypes, G groups, Q rows of a queue.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from lightly.loss import SwaVLoss
from lightly.models.modules import SMoGPrototypes
from torch import Tensor

from lightly_core.contracts import Method
from parity.building import StepLoss, step_loss, take_steps
from parity.records import Comparison, Function

B, D, K, G, Q = 8, 6, 10, 5, 16
CROPS = dict.fromkeys(("high0", "high1", "low0", "low1"), (B, D))


def directions(count: int) -> Tensor:
    """Return directions (count, D), the same at each call."""
    return F.normalize(torch.randn(count, D, generator=torch.Generator().manual_seed(1)), dim=1)


# ---------------------------------------------------------------------------------------- SwAV


def _swav(name: str, **options: object) -> Method:
    sizes = {"output_dim": D, "num_prototypes": K}
    method = StepLoss(name, {**sizes, **options}).built(torch.zeros(B, D))
    method.prototypes.weight.data.copy_(directions(K))
    return method


def _swav_ours(**views: Tensor) -> Tensor:
    return step_loss(_swav("swav"), list(views.values()))


def _swav_theirs(**views: Tensor) -> Tensor:
    scores = [F.normalize(view, dim=1) @ directions(K).T for view in views.values()]
    return SwaVLoss()(scores[:2], scores[2:])


def _swavqueue_ours(**views: Tensor) -> Tensor:
    method = _swav("swavqueue", queue_size=Q, queue_start=0)
    for number, queue in enumerate(method.queues):
        queue.push(directions(Q).roll(number, dims=1))
    return step_loss(method, list(views.values()))


def _swavqueue_theirs(**views: Tensor) -> Tensor:
    scores = [F.normalize(view, dim=1) @ directions(K).T for view in views.values()]
    queued = [directions(Q).roll(number, dims=1) @ directions(K).T for number in range(2)]
    return SwaVLoss()(scores[:2], scores[2:], queued)


# ---------------------------------------------------------------------------------------- SMoG

SMOG = {"output_dim": D, "num_groups": G, "bank_size": 64, "group_momentum": 0.9}


def _smog() -> Method:
    heads = ("projector", "predictor")
    method = StepLoss("smog", {**SMOG, "reset_interval": 2}, heads).built(torch.zeros(B, D))
    method.groups.copy_(directions(G))
    return method


def _smog_ours(first: Tensor, second: Tensor) -> Tensor:
    return step_loss(_smog(), [first, second])


def _smog_theirs(first: Tensor, second: Tensor) -> Tensor:
    units = [F.normalize(view, dim=1) for view in (first, second)]
    prototypes = SMoGPrototypes(directions(G), beta=0.9)
    groups = prototypes.get_updated_group_features(torch.cat(units))
    logits = [prototypes(unit, groups, temperature=0.1) for unit in units]
    assigned = [prototypes.assign_groups(unit) for unit in units]
    both = [F.cross_entropy(logits[s], assigned[t]) for s, t in ((0, 1), (1, 0))]
    return torch.stack(both).mean()


def _smog_steps_ours(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    yield from take_steps(_smog(), [first, second])


def smog_steps_plain(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    """Update each group with its own rows; compute all groups by k-means every second step."""
    groups, bank = directions(G), []
    for step, views in enumerate(zip(first, second, strict=True)):
        units = [F.normalize(view, dim=1) for view in views]
        assigned = [[int((groups @ row).argmax()) for row in unit.detach()] for unit in units]
        rows = list(torch.cat(units))
        nearest = [int((groups @ row.detach()).argmax()) for row in rows]
        moved = []
        for k, group in enumerate(groups):
            own = [row for row, number in zip(rows, nearest, strict=True) if number == k]
            if own:
                mean = torch.stack(own).mean(dim=0)
                group = F.normalize(0.9 * group + 0.1 * mean, dim=0)
            moved.append(group)
        total = torch.zeros(())
        for s, t in ((0, 1), (1, 0)):
            for b, row in enumerate(units[s]):
                logits = torch.stack([row @ group / 0.1 for group in moved])
                loss = logits.exp().sum().log() - logits[assigned[t][b]]
                total = total + loss / (2 * len(units[s]))
        yield total
        bank += [row.detach() for row in rows]
        groups = torch.stack(moved).detach()
        if (step + 1) % 2 == 0:
            generator = torch.Generator().manual_seed(step + 1)
            start = [bank[i] for i in torch.randperm(len(bank), generator=generator)[:G]]
            groups = _plain_kmeans(bank, start, 10)


def _plain_kmeans(rows: list[Tensor], centroids: list[Tensor], iterations: int) -> Tensor:
    for _ in range(iterations):
        sums = [torch.zeros_like(row) for row in centroids]
        for row in rows:
            best = max(range(len(centroids)), key=lambda k, row=row: float(centroids[k] @ row))
            sums[best] = sums[best] + row
        centroids = [
            F.normalize(total, dim=0) if total.abs().max() > 0 else old
            for total, old in zip(sums, centroids, strict=True)
        ]
    return torch.stack(centroids)


# ------------------------------------------------------------------------------ DeepCluster-v2


def deepcluster() -> Method:
    """Return a method that has clustered B images. Its memory has one row for each image."""
    options = {"output_dim": D, "num_prototypes": 3, "num_heads": 2, "kmeans_iterations": 4}
    method = StepLoss("deepclusterv2", options).built(torch.zeros(B, D))
    rows = directions(B)
    method.memory.write(torch.arange(B), torch.stack([rows, rows.roll(1, dims=1)]))
    method.after_step(method.context.steps_per_epoch)
    return method


def _deepcluster_ours(first: Tensor, second: Tensor, local: Tensor) -> Tensor:
    return step_loss(deepcluster(), [first, second, local])


def _deepcluster_plain(first: Tensor, second: Tensor, local: Tensor) -> Tensor:
    total, generator = torch.zeros(()), torch.Generator().manual_seed(10)
    for head in range(2):
        rows = list(directions(B).roll(head, dims=1))
        start = [rows[i] for i in torch.randperm(B, generator=generator)[:3]]
        centroids = _plain_kmeans(rows, start, 4)
        for view in (first, second, local):
            for b, row in enumerate(view):
                logits = torch.stack([row @ c / row.norm() / 0.1 for c in centroids])
                label = int((centroids @ rows[b]).argmax())
                total = total + (logits.exp().sum().log() - logits[label]) / (2 * 3 * B)
    return total


COMPARISONS: tuple[Comparison, ...] = (
    Function(
        method="swav", what="loss of 2 global and 2 local views", equals="`SwaVLoss`",
        inputs=CROPS, ours=_swav_ours, theirs=_swav_theirs,
    ),
    Function(
        method="swavqueue", what="loss with full queues", equals="`SwaVLoss` with `queue_outputs`",
        inputs=CROPS, ours=_swavqueue_ours, theirs=_swavqueue_theirs,
    ),
    Function(
        method="smog", what="loss of a step, both directions", equals="`SMoGPrototypes`",
        inputs={"first": (B, D), "second": (B, D)}, ours=_smog_ours, theirs=_smog_theirs,
        differs="our groups are normalised after the step, theirs when they are compared",
    ),
    Function(
        method="smog", what="loss of 4 steps with k-means after every second one",
        equals="plain form", inputs={"first": (4, B, D), "second": (4, B, D)},
        ours=_smog_steps_ours, theirs=smog_steps_plain,
    ),
    Function(
        method="deepclusterv2", what="k-means, labels and loss of 3 views", equals="plain form",
        inputs={"first": (B, D), "second": (B, D), "local": (B, D)},
        ours=_deepcluster_ours, theirs=_deepcluster_plain,
    ),
)  # fmt: skip

import io
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError
from lightly_core.parts.gram import gram_loss
from lightly_core.parts.koleo import koleo
from lightly_core.testing import TinyTokens
from lightly_dino.base_config import MaskArgs
from lightly_dino.dinov2 import DINOv2
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.dinov3 import DINOv3
from lightly_dino.dinov3_config import DINOv3Config
from lightly_dino.features import Features, encode
from lightly_dino.ibot import IBOT
from lightly_dino.ibot_config import IBOTConfig
from lightly_dino.masks import find_masked_patches
from lightly_dino.simdinov2 import SimDINOv2
from lightly_dino.simdinov2_config import SimDINOv2Config

CLASSES = [
    pytest.param((IBOT, IBOTConfig), id="ibot"),
    pytest.param((DINOv2, DINOv2Config), id="dinov2"),
    pytest.param((DINOv3, DINOv3Config), id="dinov3"),
    pytest.param((SimDINOv2, SimDINOv2Config), id="simdinov2"),
]
TEMPERATURES = {"teacher_temp": 0.1, "warmup_teacher_temp": 0.1, "student_temp": 0.2}


def cross_entropy(target, guess):
    """Of logits (1, K), with the temperatures above."""
    shares = F.softmax(guess / 0.2, dim=1)
    return -(F.softmax(target / 0.1, dim=1) * shares.log()).sum()


def distance(target, guess):
    return 1 - F.cosine_similarity(target, guess)[0]


def plain_patches(method, batch, head, cost=cross_entropy):
    """The loss of masked patches, one image and one patch at a time."""
    total = 0
    for view in range(2):
        for image in range(len(batch.views[0])):
            mask = batch.extras["mask"][image, view]
            pixels = batch.views[view][image : image + 1]
            seen = method.teacher["backbone"].forward_tokens(pixels)["patch_tokens"][0]
            guess = method.model.forward_tokens(
                pixels, mask=mask[None], mask_token=method.mask_token
            )["patch_tokens"][0]
            costs = [
                cost(method.teacher[head](seen[n][None]), method.heads[head](guess[n][None]))
                for n in mask.nonzero().flatten().tolist()
            ]
            if costs:
                total = total + torch.stack(costs).mean()
    return total / (2 * len(batch.views[0]))


@pytest.mark.parametrize(
    ("cls", "head", "options"),
    [
        ((IBOT, IBOTConfig), "head", {}),
        ((DINOv2, DINOv2Config), "dino", {}),
        ((DINOv2, DINOv2Config), "ibot", {"ibot_separate_head": True, "ibot_bottleneck_dim": 8}),
    ],
)
def test_masked_patches_have_the_loss_of_the_papers(build, make_batch, cls, head, options):
    method = build(*cls, **TEMPERATURES, **options)
    batch = make_batch(method)
    assert batch.extras["mask"].any()
    metrics = method.training_step(batch, 0).metrics
    expected = plain_patches(method, batch, head).detach()
    torch.testing.assert_close(metrics["train_loss/ibot"], expected, rtol=1e-4, atol=1e-5)


def test_the_heads_of_views_and_patches_have_their_own_bottlenecks(build):
    method = build(DINOv2, DINOv2Config, ibot_separate_head=True, ibot_bottleneck_dim=8)
    assert method.heads["dino"].prototypes.weight.shape == (24, 16)
    assert method.heads["ibot"].prototypes.weight.shape == (24, 8)
    assert list(build(DINOv2, DINOv2Config).heads) == ["dino"]


VIEWS_AND_PATCHES = {"dino_loss_weight": 0.5, "ibot_loss_weight": 2.0}
WEIGHTS = [
    (IBOT, IBOTConfig, VIEWS_AND_PATCHES, {"dino": 0.5, "ibot": 2.0}),
    (
        DINOv2,
        DINOv2Config,
        {**VIEWS_AND_PATCHES, "koleo_loss_weight": 0.3},
        {"dino": 0.5, "ibot": 2.0, "koleo": 0.3},
    ),
    (
        DINOv3,
        DINOv3Config,
        {"gram_start_step": 0, "gram_loss_weight": 3.0},
        {"dino": 1.0, "ibot": 1.0, "koleo": 0.1, "gram": 3.0},
    ),
    (
        SimDINOv2,
        SimDINOv2Config,
        {"patch_loss_weight": 0.5, "coding_rate_weight": 2.0},
        # The paper's (D + N) / (D * N) for width 16 and 4 images.
        {"distance": 1.0, "patch_distance": 0.5, "coding_rate": -2.0 * (16 + 4) / (16 * 4)},
    ),
]


@pytest.mark.parametrize(("method", "config", "options", "weights"), WEIGHTS)
def test_the_loss_is_the_weighted_sum_of_its_parts(
    build, make_batch, method, config, options, weights
):
    method = build(method, config, **options)
    result = method.training_step(make_batch(method), 0)
    parts = {name: result.metrics[f"train_loss/{name}"] for name in weights}
    assert all(part != 0 for part in parts.values())
    expected = sum(weight * parts[name] for name, weight in weights.items())
    torch.testing.assert_close(result.loss.detach(), expected)


def test_simdinov2_takes_the_distance_of_masked_patches(build, make_batch):
    method = build(SimDINOv2, SimDINOv2Config)
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter.mul_(1.5).add_(0.1)
    batch = make_batch(method)
    found = method.training_step(batch, 0).metrics["train_loss/patch_distance"]
    expected = plain_patches(method, batch, "head", distance).detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "config", "among_all"), [(DINOv2, DINOv2Config, False), (DINOv3, DINOv3Config, True)]
)
def test_koleo_looks_for_neighbours_where_the_papers_do(
    build, make_batch, monkeypatch, method, config, among_all
):
    asked = []

    def asking(view, *, all_processes=False):
        asked.append(all_processes)
        return koleo(view)

    monkeypatch.setattr(f"{method.__module__}.koleo", asking)
    method = build(method, config)
    method.training_step(make_batch(method), 0)
    assert asked == [among_all] * 2


def test_koleo_takes_each_global_view_alone_and_without_head(build, make_batch):
    method = build(DINOv2, DINOv2Config, mask=MaskArgs(probability=0.0))
    batch = make_batch(method)
    views = [method.model(view) for view in batch.views[:2]]
    metrics = method.training_step(batch, 0).metrics
    expected = (koleo(views[0]) + koleo(views[1])).detach()
    torch.testing.assert_close(metrics["train_loss/koleo"], expected, rtol=1e-4, atol=1e-5)


def test_without_masks_patches_have_no_loss_and_the_mask_token_a_gradient(build, make_batch):
    method = build(IBOT, IBOTConfig, mask=MaskArgs(probability=0.0))
    result = method.training_step(make_batch(method), 0)
    result.loss.backward()
    assert result.metrics["train_loss/ibot"] == 0
    assert method.mask_token.grad.abs().max() == 0  # not None: several processes wait for it


def test_ibots_centre_of_patches_follows_all_of_them(build, make_batch):
    method = build(IBOT, IBOTConfig, mask=MaskArgs(probability=0.0), center_momentum=0.0)
    batch = make_batch(method)
    tokens = method.teacher["backbone"].forward_tokens(torch.cat(batch.views[:2]))["patch_tokens"]
    logits = method.teacher["head"](tokens.flatten(0, 1))
    method.training_step(batch, 0)
    method.patch_targets.center.finish()
    torch.testing.assert_close(
        method.patch_targets.center.center, logits.mean(0), rtol=1e-4, atol=1e-6
    )


class Pass(NamedTuple):
    """A pass of global views through a backbone."""

    backbone: torch.nn.Module
    images: torch.Tensor
    mask: torch.Tensor | None
    features: Features


@pytest.fixture
def passes(monkeypatch):
    """Record the passes of global views; the first is the teacher's, the second the student's."""
    recorded = []

    def recording(backbone, images, mask=None, mask_token=None):
        features = encode(backbone, images, mask, mask_token)
        recorded.append(Pass(backbone, images, mask, features))
        return features

    for name in ("ibot", "dinov2", "dinov3", "simdinov2"):
        monkeypatch.setattr(f"lightly_dino.{name}.encode", recording)
    return recorded


@pytest.mark.parametrize("cls", CLASSES)
def test_the_teacher_sees_no_mask_and_runs_in_evaluation_mode(build, make_batch, passes, cls):
    method = build(*cls).train()
    assert not any(module.training for module in method.teacher["backbone"].modules())
    batch = make_batch(method)
    batch.extras["mask"][:] = True
    method.training_step(batch, 0)
    teacher, student = passes
    assert (teacher.backbone, student.backbone) == (method.teacher["backbone"], method.model)
    assert torch.equal(teacher.images, torch.cat(batch.views[:2]))
    plain = method.teacher["backbone"].forward_tokens(teacher.images)["patch_tokens"]
    torch.testing.assert_close(teacher.features.patches, plain)
    assert not torch.allclose(student.features.patches, plain)


@pytest.mark.parametrize("cls", CLASSES)
def test_masks_belong_to_the_view_of_their_image(build, make_batch, passes, cls):
    method = build(*cls)
    batch = make_batch(method)
    batch.extras["mask"][:] = False
    batch.extras["mask"][1, 0, 3] = True
    batch.extras["mask"][1, 1, 2] = True
    method.training_step(batch, 0)
    _, student = passes
    assert student.mask.nonzero().tolist() == [[1, 3], [5, 2]]


@pytest.mark.parametrize("cls", CLASSES)
def test_all_masked_patches_count_where_patches_are_more_than_views(
    build, make_batch, monkeypatch, cls
):
    found = []

    def recording(mask, num_rows):
        found.append(find_masked_patches(mask, num_rows))
        return found[-1]

    monkeypatch.setattr(f"{cls[0].__module__}.find_masked_patches", recording)
    method = build(*cls, mask=MaskArgs(probability=1.0, min_ratio=0.5, max_ratio=0.5))
    method.training_step(make_batch(method), 0)
    # Two views of four images, half of 16 patches in each.
    assert [masked.is_masked.sum() for masked in found] == [2 * 4 * 8]


@pytest.mark.parametrize("cls", CLASSES)
def test_images_that_the_patch_does_not_divide_are_refused(build, cls):
    with pytest.raises(ConfigError, match=r"32 x 30 pixels .* patches of 8"):
        build(*cls, changes={"image_size": (32, 30)})


def test_one_image_a_process_is_refused_where_neighbours_are_looked_for(build):
    changes = {"global_batch_size": 4, "world_size": 4}
    with pytest.raises(ConfigError, match=r"at least 8 images .* 4 processes"):
        build(DINOv2, DINOv2Config, changes=changes)
    build(DINOv2, DINOv2Config, changes=changes, koleo_loss_weight=0.0)


def test_learning_rates_fall_towards_the_input(build):
    method = build(DINOv2, DINOv2Config, TinyTokens(depth=3), backbone_lr_factor=0.5)
    rates = {
        id(parameter): group.lr_scale
        for group in method.parameter_groups()
        for parameter in group.parameters
    }
    model = method.model.get_model()
    for index, block in enumerate(model.blocks):
        assert rates[id(block.qkv.weight)] == pytest.approx(0.5 * 0.9 ** (3 - index))
    assert rates[id(model.patch_embedding.weight)] == pytest.approx(0.5 * 0.2 * 0.9**4)
    assert rates[id(model.norm.weight)] == pytest.approx(0.5)
    assert rates[id(method.mask_token)] == 1
    assert {rates[id(parameter)] for parameter in method.heads.parameters()} == {1}


def test_dinov3_weighs_local_views_apart(build, make_batch):
    options = {"centering": "softmax", **TEMPERATURES}
    losses = {}
    for weight in (0.0, 0.5, 1.0):
        method = build(DINOv3, DINOv3Config, local_loss_weight=weight, **options)
        losses[weight] = method.training_step(make_batch(method), 0).metrics["train_loss/dino"]
    method = build(DINOv2, DINOv2Config, ibot_separate_head=True, **options)
    plain = method.training_step(make_batch(method), 0).metrics["train_loss/dino"]
    torch.testing.assert_close(losses[1.0], plain)
    torch.testing.assert_close(losses[0.5], (losses[0.0] + losses[1.0]) / 2)


@pytest.mark.slow
def test_gram_anchoring_begins_with_a_copy_of_the_teacher(build, make_batch, train):
    method = build(
        DINOv3, DINOv3Config, gram_start_step=2, gram_refresh_steps=2, gram_max_refreshes=1
    )
    batch = make_batch(method)

    def equal():
        pairs = zip(
            method.gram_teacher["backbone"].parameters(),
            method.teacher["backbone"].parameters(),
            strict=True,
        )
        return all(torch.equal(own, other) for own, other in pairs)

    seen = []
    for step in range(8):
        train(method, batch, 1, lr=1e-2, first=step)
        seen.append(equal())
    # After steps 2 and 4: the first copy, and the only further one.
    assert seen == [False, True, False, True, False, False, False, False]
    assert method.training_step(batch, 1).metrics["train_loss/gram"] == 0
    result = method.training_step(batch, 8)
    images = torch.cat(batch.views[:2])
    mask = batch.extras["mask"].transpose(0, 1).flatten(0, 1)
    tokens = method.model.forward_tokens(images, mask=mask, mask_token=method.mask_token)
    anchor = method.gram_teacher["backbone"].forward_tokens(images)
    expected = gram_loss(tokens["patch_tokens"], anchor["patch_tokens"])
    torch.testing.assert_close(result.metrics["train_loss/gram"], expected.detach())
    assert expected > 0


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_a_run_goes_on_exactly(build, make_batch, train, cls):
    options = {"gram_start_step": 2} if cls[0] is DINOv3 else {}
    first = build(*cls, **options)
    batch = make_batch(first)
    train(first, batch, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = build(*cls, seed=9, **options)
    second.load_state_dict(torch.load(file, weights_only=True))
    other = make_batch(first, seed=1)
    assert train(first, other, 3, first=3) == train(second, other, 3, first=3)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_learns_and_the_teacher_does_not(build, make_batch, cls):
    method = build(*cls)
    batch = make_batch(method)
    method.training_step(batch, 0).loss.backward()
    missing = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert all(p.grad is None for p in method.teacher.parameters())

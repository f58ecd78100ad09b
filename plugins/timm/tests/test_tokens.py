"""The token capability, against timm's own forward pass."""

import copy
import functools
import pickle

import pytest
import torch
import torch.nn.functional as F
from circles import mark_others
from lazy_modules import LazyModule
from torch import nn

from lightly_core.contracts.capabilities import ActivationCheckpointing, TokenModel
from lightly_core.errors import ConfigError

timm = LazyModule("timm")
timm_tokens = LazyModule("lightly_timm.tokens")
timm_wrapper = LazyModule("lightly_timm.wrapper")
timm_wrapping = LazyModule("lightly_timm.wrapping")

EVA = {"embed_dim": 32, "num_heads": 2, "init_values": None}
KINDS = {
    "class token": ("test_vit", {}),
    "registers": ("test_vit", {"reg_tokens": 3, "no_embed_class": True}),
    "no class token": ("test_vit", {"class_token": False, "reg_tokens": 2, "global_pool": "avg"}),
    "attention pool": ("test_vit", {"class_token": False, "global_pool": "map"}),
    "norm before": ("test_vit", {"pre_norm": True}),
    "no positions": ("test_vit", {"pos_embed": "none"}),
    "distilled": ("deit_tiny_distilled_patch16_224", {"embed_dim": 24, "num_heads": 2}),
    "axial rope": ("vit_small_patch16_rope_224", EVA),
    "mixed rope": ("vit_small_patch16_rope_mixed_ape_224", EVA),
    "dinov3": ("vit_small_patch16_dinov3", EVA),
    "eva02": ("eva02_tiny_patch14_224", {"embed_dim": 24, "num_heads": 2}),
}
SIZE = (64, 96)


#: The others are families.
FIRST = ("class token", "no class token", "dinov3")


@pytest.fixture(
    params=mark_others(pytest.mark.families, KINDS, *FIRST),
    ids=[kind.replace(" ", "-") for kind in KINDS],
)
def model(request, vit):
    name, arguments = KINDS[request.param]
    return vit(name, **arguments)


def images_for(model, size=SIZE):
    side = model.patch_embed.patch_size[0]
    return torch.randn(2, 3, size[0] // 16 * side, size[1] // 16 * side)


def test_without_mask_the_tokens_are_timms(model):
    wrapper = timm_tokens.TimmTokenWrapper(model)
    images = images_for(model)
    own = model.forward_features(images)
    found = wrapper.forward_tokens(images)
    assert torch.equal(torch.cat([found["prefix_tokens"], found["patch_tokens"]], dim=1), own)
    assert isinstance(wrapper, TokenModel)
    assert isinstance(wrapper, ActivationCheckpointing)
    assert wrapper.token_grid(*images.shape[2:]) == (4, 6)
    assert own.shape[1] == wrapper.num_prefix_tokens() + 24
    assert ("cls_token" in found) == (model.cls_token is not None)
    features = wrapper.forward_features(images)
    assert torch.equal(features["features"].flatten(2), found["patch_tokens"].transpose(1, 2))


def test_pooling_is_timms(model):
    wrapper = timm_tokens.TimmTokenWrapper(model)
    images = images_for(model)
    own = model.forward_head(model.forward_features(images), pre_logits=True)
    pooled = wrapper.forward_pool(wrapper.forward_features(images))["pooled_features"]
    torch.testing.assert_close(pooled[:, :, 0, 0], own)


def test_masked_patches_are_replaced_before_positions_are_added(model):
    wrapper = timm_tokens.TimmTokenWrapper(model)
    images = images_for(model)
    mask = torch.rand(2, 24) < 0.5
    token = torch.randn(wrapper.token_dim(), requires_grad=True)

    def put_token(module, inputs, patches):
        patches = patches.clone()  # (B, h, w, T)
        for row, column in ((r, c) for r in range(4) for c in range(6)):
            for image in range(2):
                if mask[image, row * 6 + column]:
                    patches[image, row, column] = token
        return patches

    with torch.no_grad():
        found = wrapper.forward_tokens(images, mask=mask, mask_token=token)
    hook = model.patch_embed.register_forward_hook(put_token)
    own = model.forward_features(images)
    hook.remove()
    torch.testing.assert_close(found["patch_tokens"], own[:, wrapper.num_prefix_tokens() :])
    wrapper.forward_tokens(images, mask=mask, mask_token=token)["patch_tokens"].sum().backward()
    assert token.grad.abs().sum() > 0


def hide_from_attention(monkeypatch, visible):
    """Make attention see only some tokens, (B, N) bool."""
    original = F.scaled_dot_product_attention

    def attend(q, k, v, **arguments):
        return original(q, k, v, **{**arguments, "attn_mask": visible[:, None, None, :]})

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)


def test_kept_patches_are_as_if_the_others_could_not_be_seen(model, monkeypatch):
    wrapper = timm_tokens.TimmTokenWrapper(model)
    images = images_for(model)
    keep = torch.stack([torch.randperm(24)[:7] for _ in range(2)])
    with torch.no_grad():
        found = wrapper.forward_tokens(images, keep=keep)
        visible = torch.zeros(2, 24, dtype=torch.bool).scatter_(1, keep, True)
        prefix = torch.ones(2, wrapper.num_prefix_tokens(), dtype=torch.bool)
        hide_from_attention(monkeypatch, torch.cat([prefix, visible], dim=1))
        own = model.forward_features(images)
    count = wrapper.num_prefix_tokens()
    expected = torch.stack([own[image, count + keep[image]] for image in range(2)])
    torch.testing.assert_close(found["patch_tokens"], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["prefix_tokens"], own[:, :count], rtol=1e-4, atol=1e-4)


def test_intermediate_tokens_are_timms(model):
    wrapper = timm_tokens.TimmTokenWrapper(model)
    images = images_for(model)
    for norm in (True, False):
        own = model.forward_intermediates(
            images, indices=[0, 2], norm=norm, output_fmt="NLC", intermediates_only=True
        )
        found = wrapper.forward_intermediates(images, [-1, 0], norm=norm)
        assert len(found) == 2
        for mine, theirs in zip(found, own, strict=True):
            assert torch.equal(mine["patch_tokens"], theirs)
    assert len(wrapper.forward_intermediates(images, 3)) == 3
    for wrong in (0, 4, [3], [], [-4]):
        with pytest.raises(ValueError, match="model of 3 blocks"):
            wrapper.forward_intermediates(images, wrong)


@pytest.mark.families
def test_checkpointing_gives_the_same_gradients(model, monkeypatch):
    images = images_for(model)
    mask = torch.rand(2, 24) < 0.5
    original = timm_tokens.checkpoint
    gradients, groups = [], []

    def checkpoint(function, tokens, rope, first, last, **options):
        groups.append((first, last))
        return original(function, tokens, rope, first, last, **options)

    monkeypatch.setattr("lightly_timm.tokens.checkpoint", checkpoint)
    for every, blocks in ((None, []), (1, [(0, 1), (1, 2), (2, 3)]), (2, [(0, 2), (2, 3)])):
        groups.clear()
        twin = copy.deepcopy(model)
        wrapper = timm_tokens.TimmTokenWrapper(twin)
        calls = []
        twin.blocks[0].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        wrapper.set_activation_checkpointing(every is not None, every or 1)
        token = torch.zeros(wrapper.token_dim())
        found = wrapper.forward_tokens(images, mask=mask, mask_token=token)
        found["patch_tokens"].square().sum().backward()
        assert len(calls) == (1 if every is None else 2)
        assert groups == blocks
        gradients.append([p.grad for p in twin.blocks.parameters()])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        wrapper.set_activation_checkpointing(True, 0)


# -------------------------------------------------------------------------------- positions


def halved(positions, old_grid, new_grid):
    """Return something that timm would never make of position embeddings."""
    assert positions.shape[1] == old_grid[0] * old_grid[1]
    return positions[:, : new_grid[0] * new_grid[1]] * 0.5


@pytest.mark.parametrize("no_embed_class", [False, True])
def test_positions_of_patches_are_resampled_by_the_given_function(vit, no_embed_class):
    model = vit(no_embed_class=no_embed_class, reg_tokens=1)
    images = torch.randn(1, 3, 64, 96)
    wrapper = timm_tokens.TimmTokenWrapper(model, resample_positions=halved)
    found = wrapper.forward_features(images)["features"]
    reference = timm.create_model(
        "test_vit",
        depth=3,
        img_size=(64, 96),
        no_embed_class=no_embed_class,
        reg_tokens=1,
    ).eval()
    state = dict(model.state_dict())
    count = 0 if no_embed_class else 2
    prefix, patches = state["pos_embed"].split([count, 100], dim=1)
    state["pos_embed"] = torch.cat([prefix, patches[:, :24] * 0.5], dim=1)
    reference.load_state_dict(state)
    own = reference.forward_features(images)[:, 2:]
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), own)
    twin = pickle.loads(pickle.dumps(wrapper))
    assert torch.equal(twin.forward_features(images)["features"], found)


def test_positions_of_the_models_own_grid_are_not_resampled(vit):
    model = vit()
    images = torch.randn(1, 3, 160, 160)

    def refuse(*_):
        raise AssertionError("called for the model's own grid")

    found = timm_tokens.TimmTokenWrapper(model, resample_positions=refuse).forward_tokens(images)
    assert torch.equal(found["patch_tokens"], model.forward_features(images)[:, 1:])


# -------------------------------------------------------------------------------- image sizes


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (4, 4)), ((71, 73), (4, 5)), ((3, 40), (1, 3)), ((24, 8), (2, 1))]
)
def test_images_are_resized_to_the_nearest_multiple_of_the_patch(vit, size, grid):
    wrapper = timm_tokens.TimmTokenWrapper(vit())
    images = torch.rand(1, 3, *size)
    found = wrapper.forward_features(images)["features"]
    assert found.shape[2:] == grid == wrapper.token_grid(*size)
    pixels = [16 * count for count in grid]
    resized = F.interpolate(images, pixels, mode="bilinear", antialias=True)
    resized = images if list(size) == pixels else resized
    own = wrapper.model.forward_features(resized)[:, 1:]
    assert torch.equal(found.flatten(2).transpose(1, 2), own)


def test_a_model_that_pads_is_left_to_pad(vit):
    model = vit(dynamic_img_pad=True)
    images = torch.randn(1, 3, 65, 80)
    wrapper = timm_tokens.TimmTokenWrapper(model)
    assert wrapper.token_grid(65, 80) == (5, 5)
    found = wrapper.forward_tokens(images)["patch_tokens"]
    assert torch.equal(found, model.forward_features(images)[:, 1:])


def test_a_model_of_one_size_says_which(vit):
    wrapper = timm_tokens.TimmTokenWrapper(vit(dynamic_img_size=False))
    assert wrapper.token_grid(160, 160) == (10, 10)
    for call in (
        lambda: wrapper.forward_tokens(torch.zeros(1, 3, 64, 64)),
        lambda: wrapper.token_grid(64, 64),
    ):
        with pytest.raises(ValueError, match=r"160 x 160 pixels, got 64 x 64;.*image_size=160"):
            call()


# -------------------------------------------------------------------------------- precision


def test_mixed_precision_gives_the_same_up_to_rounding(model):
    wrapper = timm_tokens.TimmTokenWrapper(model)
    images = images_for(model)
    mask = torch.rand(2, 24) < 0.5
    token = torch.randn(wrapper.token_dim())
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        plain = wrapper.forward_tokens(images)
        own = model.forward_features(images)
        masked = wrapper.forward_tokens(images, mask=mask, mask_token=token)
    assert torch.equal(plain["patch_tokens"], own[:, wrapper.num_prefix_tokens() :])
    assert masked["patch_tokens"].isfinite().all()


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": torch.zeros(2, 24, dtype=torch.bool)}, "needed together"),
        ({"mask_token": torch.zeros(64)}, "needed together"),
        (
            {"mask": torch.zeros(2, 9, dtype=torch.bool), "mask_token": torch.zeros(64)},
            r"\(2, 24\)",
        ),
        ({"mask": torch.zeros(2, 24), "mask_token": torch.zeros(64)}, "torch.float32"),
        ({"mask": torch.zeros(2, 24).bool(), "mask_token": torch.zeros(9)}, r"\(64,\), got \(9,\)"),
        ({"keep": torch.zeros(1, 4, dtype=torch.int64)}, r"int64 \(2, K\)"),
        ({"keep": torch.zeros(2, 4)}, "torch.float32"),
    ],
)
def test_wrong_masks_and_selections_say_what_is_expected(vit, arguments, message):
    with pytest.raises(ValueError, match=message):
        timm_tokens.TimmTokenWrapper(vit()).forward_tokens(torch.zeros(2, 3, *SIZE), **arguments)


def test_random_gaps_in_the_map_are_refused(vit):
    with pytest.raises(ConfigError, match=r"drops 50% of the patches.*\n.*patch_drop_rate"):
        timm_wrapping.wrap_timm(vit(patch_drop_rate=0.5))


def test_models_that_the_loop_does_not_fit_do_not_offer_it():
    class OwnPositions(timm.models.VisionTransformer):
        def _pos_embed(self, x):
            return super()._pos_embed(x) * 2

    small = {"img_size": 32, "embed_dim": 16, "depth": 1, "num_heads": 2}
    for model in (
        OwnPositions(patch_size=8, **small),
        timm.models.VisionTransformer(patch_size=(8, 4), **small),
        timm.create_model("vit_relpos_small_patch16_224", **small),
        timm.create_model("beit_base_patch16_224", **small),
        nn.Conv2d(3, 3, 1),
    ):
        assert not timm_tokens.has_token_capability(model)
    model = timm.models.VisionTransformer(patch_size=(8, 4), **small)
    wrapper = timm_wrapping.wrap_timm(model)
    assert not isinstance(wrapper, TokenModel)
    assert isinstance(wrapper, timm_wrapper.TimmWrapper)
    features = wrapper.forward_features(torch.zeros(1, 3, 32, 32))["features"]
    assert features.shape == (1, 16, 4, 8)


def test_a_function_with_settings_can_resample(vit):
    function = functools.partial(halved)
    wrapper = timm_tokens.TimmTokenWrapper(vit(), resample_positions=function)
    assert copy.deepcopy(wrapper).forward_features(torch.zeros(1, 3, 32, 32))

import logging
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from lightly_core.abilities import (
    ActivationCheckpointing,
    InputNormalization,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.errors import ConfigError
from lightly_core.testing import TinyConv, TinyTokens, parametrize_checks, wrapper_checks
from lightly_core.testing.abilities import undeclared_ability_checks
from lightly_core.testing.wrapper_case import WrapperCase

CODES = ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"]
ALL = (TokenModel, MultiScaleFeatures, ActivationCheckpointing, InputNormalization)


@parametrize_checks(
    wrapper_checks(TinyTokens, image_size=32, channels_factory=TinyTokens, abilities=ALL)
)
def test_tiny_tokens_holds_the_contract(check):
    check()


def bare():
    return TinyTokens(feature_dim=8, class_token=False, num_registers=0, depth=1)


@parametrize_checks(wrapper_checks(bare, image_size=32, abilities=ALL))
def test_one_block_without_prefix_tokens_holds_the_contract(check):
    check()


# ------------------------------------------------------------------------- TinyTokens itself


def slow_tokens(wrapper, image, keep, masked, mask_token):
    """One image, patch by patch, with attention as two loops."""
    model, side = wrapper._model, wrapper.patch_size()
    rows, columns = (length // side for length in image.shape[1:])
    positions = F.interpolate(model.positions, size=(rows, columns), mode="bilinear")[0]
    sequence = list(model.prefix[0])
    for index in keep:
        row, column = divmod(index, columns)
        pixels = image[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
        weight = model.patch_embedding.weight.flatten(1)
        embedded = weight @ pixels.flatten() + model.patch_embedding.bias
        if index in masked:
            embedded = mask_token
        sequence.append(embedded + positions[:, row, column])
    for block in model.blocks:
        mixed = slow_attention(block, sequence)
        sequence = [x + part for x, part in zip(sequence, mixed, strict=True)]
        sequence = [x + block.mlp(block.norm2(x)) for x in sequence]
    return torch.stack([model.norm(x) for x in sequence])


def slow_attention(block, sequence):
    mixed = []
    parts = [block.qkv(block.norm1(x)).chunk(3) for x in sequence]
    for query, _, _ in parts:
        heads = []
        for start in range(0, len(query), block.head_dim):
            head = slice(start, start + block.head_dim)
            scores = torch.stack([query[head] @ key[head] for _, key, _ in parts])
            shares = (scores / block.head_dim**0.5).softmax(dim=0)
            values = [value[head] for _, _, value in parts]
            heads.append(sum(s * value for s, value in zip(shares, values, strict=True)))
        mixed.append(block.project(torch.cat(heads)))
    return mixed


def test_tokens_equal_the_slow_form():
    wrapper, images = TinyTokens(), torch.randn(2, 3, 16, 24)
    keep = [[5, 0, 3], [1, 2, 4]]
    masked = [[0, 1], [4]]
    mask = torch.tensor([[index in row for index in range(6)] for row in masked])
    mask_token = torch.randn(16)
    found = wrapper.forward_tokens(
        images, mask=mask, mask_token=mask_token, keep=torch.tensor(keep)
    )
    for image in range(2):
        expected = slow_tokens(wrapper, images[image], keep[image], masked[image], mask_token)
        torch.testing.assert_close(found["prefix_tokens"][image], expected[:2])
        torch.testing.assert_close(found["cls_token"][image], expected[0])
        torch.testing.assert_close(found["patch_tokens"][image], expected[2:])


def test_a_mask_without_token_and_an_image_without_patch_are_refused():
    with pytest.raises(ValueError, match="needs a mask_token"):
        TinyTokens().forward_tokens(torch.zeros(1, 3, 16, 16), mask=torch.ones(1, 4, dtype=bool))
    with pytest.raises(ValueError, match="smaller than a patch of 8 pixels"):
        TinyTokens().forward_features(torch.zeros(1, 3, 7, 16))


def test_tiny_conv_has_no_ability():
    wrapper = TinyConv()
    for ability in (TokenModel, MultiScaleFeatures, ActivationCheckpointing):
        assert not isinstance(wrapper, ability)


# ------------------------------------------------------------------------------- the faults


class TransposedMap(TinyTokens):
    def forward_features(self, x):
        found = super().forward_features(x)
        return {**found, "features": found["features"].transpose(2, 3)}


class MiscountsPrefix(TinyTokens):
    def num_prefix_tokens(self):
        return 2

    def _named(self, tokens):
        return {"patch_tokens": tokens[:, 2:], "prefix_tokens": tokens[:, :1]}


class OtherClassToken(TinyTokens):
    def forward_features(self, x):
        found = super().forward_features(x)
        return {**found, "cls_token": found["features"].mean(dim=(2, 3))}


class ZeroMaskToken(TinyTokens):
    def _embed(self, x, mask, mask_token, keep):
        return super()._embed(x, mask, 0 * mask_token.detach() if mask is not None else None, keep)


class LeaksThroughMask(TinyTokens):
    def forward_tokens(self, x, **arguments):
        found = super().forward_tokens(x, **arguments)
        return {**found, "patch_tokens": found["patch_tokens"] + x.mean()}


class MasksAll(TinyTokens):
    def _embed(self, x, mask, mask_token, keep):
        return super()._embed(x, None if mask is None else mask | True, mask_token, keep)


class MasksAlways(TinyTokens):
    """Replaces one patch more than the mask says."""

    def _embed(self, x, mask, mask_token, keep):
        if mask is not None and not mask.any():
            mask = F.one_hot(torch.zeros(len(x), dtype=torch.long), mask.shape[1]).bool()
        return super()._embed(x, mask, mask_token, keep)


class PositionsBeforeMask(TinyTokens):
    def _embed(self, x, mask, mask_token, keep):
        tokens = super()._embed(x, None, None, None)
        if mask is not None:
            whole = F.pad(mask, (self.num_prefix_tokens(), 0))
            tokens = torch.where(whole[:, :, None], mask_token, tokens)
        return tokens


class SelectsAtTheEnd(TinyTokens):
    def forward_tokens(self, x, *, mask=None, mask_token=None, keep=None):
        found = super().forward_tokens(x, mask=mask, mask_token=mask_token)
        if keep is not None:
            index = keep[:, :, None].expand(-1, -1, 16)
            found["patch_tokens"] = found["patch_tokens"].gather(1, index)
        return found


class SameSubsetForAll(TinyTokens):
    def _embed(self, x, mask, mask_token, keep):
        keep = None if keep is None else keep[:1].expand(len(keep), -1)
        return super()._embed(x, mask, mask_token, keep)


class SortsKept(TinyTokens):
    def _embed(self, x, mask, mask_token, keep):
        return super()._embed(x, mask, mask_token, None if keep is None else keep.sort(1).values)


class MasksBehindKeep(TinyTokens):
    """Takes the mask's first places to be those of the kept patches."""

    def _embed(self, x, mask, mask_token, keep):
        if keep is None or mask is None:
            return super()._embed(x, mask, mask_token, keep)
        moved = torch.zeros_like(mask).scatter(1, keep, mask[:, : keep.shape[1]])
        return super()._embed(x, moved, mask_token, keep)


class BlocksBackwards(TinyTokens):
    def forward_intermediates(self, x, layers, *, norm=True):
        return super().forward_intermediates(x, layers, norm=norm)[::-1]


class OrderAsAsked(TinyTokens):
    def forward_intermediates(self, x, layers, *, norm=True):
        found = super().forward_intermediates(x, layers, norm=norm)
        return found[::-1] if layers == [1, 0] else found


class IndexErrorForNoBlock(TinyTokens):
    def forward_intermediates(self, x, layers, *, norm=True):
        try:
            return super().forward_intermediates(x, layers, norm=norm)
        except ValueError as error:
            raise IndexError(str(error)) from error


class TakesAnyIndex(TinyTokens):
    def forward_intermediates(self, x, layers, *, norm=True):
        layers = layers if isinstance(layers, int) else [index % 2 for index in layers]
        return super().forward_intermediates(x, layers, norm=norm)


class NeverNorms(TinyTokens):
    def forward_intermediates(self, x, layers, *, norm=True):
        return super().forward_intermediates(x, layers, norm=False)


class WrongWidths(TinyTokens):
    def multi_scale_dims(self):
        return (16, 16)


class NotCoarser(TinyTokens):
    def forward_multi_scale(self, x):
        fine, coarse = super().forward_multi_scale(x)
        return [fine, F.interpolate(coarse, scale_factor=2)]


class DetachedMap(TinyTokens):
    def forward_multi_scale(self, x):
        fine, coarse = super().forward_multi_scale(x)
        return [fine.detach(), coarse]


class OneMap(TinyTokens):
    def multi_scale_dims(self):
        return (16,)

    def forward_multi_scale(self, x):
        return super().forward_multi_scale(x)[1:]


class SavesNothing(TinyTokens):
    def set_activation_checkpointing(self, enabled, every_n_blocks=1):
        pass


class ChangesNumbers(TinyTokens):
    def _run_blocks(self, tokens, start, end):
        return super()._run_blocks(
            tokens * (1 + 1e-6 * bool(self._blocks_per_checkpoint)), start, end
        )


class DrawsNumbers(TinyTokens):
    def _run_blocks(self, tokens, start, end):
        if self._blocks_per_checkpoint:
            torch.rand(1)
        return super()._run_blocks(tokens, start, end)


class LosesGradients(TinyTokens):
    def _run_blocks(self, tokens, start, end):
        if not self._blocks_per_checkpoint:
            return super()._run_blocks(tokens, start, end)
        tokens = tokens.detach() if start == 0 else tokens
        return checkpoint(self._model.blocks[start:end], tokens, use_reentrant=False)


class StaysOn(TinyTokens):
    def set_activation_checkpointing(self, enabled, every_n_blocks=1):
        super().set_activation_checkpointing(True, every_n_blocks)


class RoundsTheGridUp(TinyTokens):
    def token_grid(self, height, width):
        return -(-height // 8), -(-width // 8)

    def _embed(self, x, mask, mask_token, keep):
        plain = TinyTokens.token_grid(self, *x.shape[2:])
        self.token_grid, kept = lambda *size: plain, self.token_grid
        try:
            return super()._embed(x, mask, mask_token, keep)
        finally:
            self.token_grid = kept

    def _as_map(self, patches, images):
        grid = TinyTokens.token_grid(self, *images.shape[2:])
        return patches.transpose(1, 2).reshape(len(patches), -1, *grid)


class OneNumberForAll(TinyTokens):
    def input_normalization(self):
        return (0.5,), (0.5,)


class BytesNormalization(TinyTokens):
    def input_normalization(self):
        return (127.5,) * 3, (127.5,) * 3


FAULTS = [
    ("A1", TransposedMap, "and 'features': off by"),
    ("A1", MiscountsPrefix, r"'prefix_tokens' has shape \(3, 1, 16\), expected \(3, 2, 16\)"),
    ("A1", OtherClassToken, "'cls_token': off by"),
    ("A2", ZeroMaskToken, "the mask token gets no gradient"),
    ("A2", LeaksThroughMask, "gradients arrive at other patches"),
    ("A2", MasksAll, "gradients arrive at other patches"),
    ("A2", MasksAlways, "tokens with an empty mask"),
    ("A2", PositionsBeforeMask, "all masked patches have the same token"),
    ("A3", SelectsAtTheEnd, "not kept were changed"),
    ("A3", SameSubsetForAll, "kept in another order"),
    ("A3", SortsKept, "kept in another order"),
    ("A3", MasksBehindKeep, "with a mask and all patches kept in another order"),
    ("A4", BlocksBackwards, "block 1 from layers=1"),
    ("A4", OrderAsAsked, r"block 0 from layers=\[1, 0\]"),
    ("A4", IndexErrorForNoBlock, "layers must lie in"),
    ("A4", TakesAnyIndex, "is no ValueError"),
    ("A4", NeverNorms, "the last block with norm"),
    ("A5", WrongWidths, r"are \(4, 16\) wide, multi_scale_dims\(\) says \(16, 16\)"),
    ("A5", NotCoarser, "to be coarser than the one before"),
    ("A5", DetachedMap, "map 0 is detached"),
    ("A5", OneMap, "there is one map only"),
    ("A6", SavesNothing, "as many as without checkpointing"),
    ("A6", ChangesNumbers, "every_n_blocks=1 changed 'features'"),
    ("A6", DrawsNumbers, "drew random numbers"),
    ("A6", LosesGradients, "changed which parameters get a gradient: .*patch_embedding"),
    ("A6", StaysOn, "cannot be switched off"),
    ("A7", RoundsTheGridUp, r"token_grid says \(5, 5\)"),
    ("A8", OneNumberForAll, "not one number for each of 3 channels"),
    ("A8", BytesNormalization, "not those of values in"),
]


@pytest.mark.parametrize(("code", "wrapper", "message"), FAULTS)
def test_check_finds_the_fault(code, wrapper, message):
    checks = {check.code: check for check in wrapper_checks(wrapper, image_size=32)}
    with pytest.raises(Exception, match=message):
        checks[code]()


def test_every_check_is_shown_to_find_a_fault():
    found = {code for code, _, _ in FAULTS}
    codes = [check.code for check in wrapper_checks(TinyTokens) if check.code.startswith("A")]
    assert sorted(codes) == sorted(found) == CODES


def test_checks_are_there_for_the_abilities_that_a_wrapper_has():
    class Pyramid(TinyConv):
        def multi_scale_dims(self):
            return (8, 32)

        def forward_multi_scale(self, x):
            return [self._model[0](x), self._model(x)]

    checks = {check.code: check for check in wrapper_checks(Pyramid, image_size=32)}
    assert [code for code in checks if code.startswith("A")] == ["A5"]
    checks["A5"]()
    assert not any(check.code.startswith("A") for check in wrapper_checks(TinyConv))


@pytest.mark.parametrize("declared", [(), (TokenModel, MultiScaleFeatures)])
def test_abilities_that_are_not_those_declared_are_found(declared):
    checks = wrapper_checks(TinyTokens, image_size=32, abilities=declared)
    with pytest.raises(AssertionError, match=r"has the abilities \['TokenModel', .*declared are"):
        {check.code: check for check in checks}["A0"]()


def test_what_is_no_ability_cannot_be_declared():
    with pytest.raises(ValueError, match=r"TinyConv.*expected some of TokenModel, "):
        wrapper_checks(TinyTokens, abilities=[TinyConv])


class TwoFaults(OneMap):
    def input_normalization(self):
        return (0.5,), (0.5,)


@pytest.mark.parametrize(
    ("wrapper", "tried", "told"),
    [
        (TinyTokens, "TokenModel, MultiScaleFeatures, ActivationCheckpointing", None),
        (TinyConv, "abilities tried: none", None),
        (TwoFaults, "InputNormalization", r"A5-(?s:.*)there is one map only(?s:.*)A8-"),
    ],
)
def test_undeclared_abilities_are_found_and_all_tried(wrapper, tried, told, caplog):
    case = WrapperCase(wrapper, 32, 3)
    (check,) = undeclared_ability_checks(case)
    with (
        caplog.at_level(logging.INFO, logger="lightly_core.testing"),
        nullcontext() if told is None else pytest.raises(AssertionError, match=told),
    ):
        check()
    assert tried in caplog.text


class OneSize(TinyTokens):
    def forward_tokens(self, x, **arguments):
        if x.shape[2:] != (32, 32):
            raise ConfigError("takes images of 32 x 32 pixels")
        return super().forward_tokens(x, **arguments)


class OneBlockAtATime(TinyTokens):
    def set_activation_checkpointing(self, enabled, every_n_blocks=1):
        if every_n_blocks != 1:
            raise ConfigError("every_n_blocks must be 1")
        super().set_activation_checkpointing(enabled)


@pytest.mark.parametrize(("code", "wrapper"), [("A7", OneSize), ("A6", OneBlockAtATime)])
def test_a_limit_that_is_said_clearly_is_in_order(code, wrapper):
    checks = {check.code: check for check in wrapper_checks(wrapper, image_size=32)}
    checks[code]()

import logging
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from chosen_checks import run_checks
from torch.utils.checkpoint import checkpoint

from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    InputNormalization,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.errors import ConfigError
from lightly_core.testing import TinyConv, TinyTokens, parametrize_checks, wrapper_checks
from lightly_core.testing.capabilities import undeclared_capability_checks
from lightly_core.testing.wrapper_case import WrapperCase

CODES = ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"]
ALL = (TokenModel, MultiScaleFeatures, ActivationCheckpointing, InputNormalization)


@parametrize_checks(
    wrapper_checks(TinyTokens, image_size=32, channels_factory=TinyTokens, capabilities=ALL)
)
def test_tiny_tokens_holds_the_contract(check):
    check()


def bare():
    return TinyTokens(feature_dim=8, class_token=False, num_registers=0, depth=1)


@parametrize_checks(wrapper_checks(bare, image_size=32, capabilities=ALL))
def test_one_block_without_prefix_tokens_holds_the_contract(check):
    check()


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


class ForgetsClassToken(TinyTokens):
    def forward_features(self, x):
        return {"features": super().forward_features(x)["features"]}


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


class RefusesToSave(TinyTokens):
    def set_activation_checkpointing(self, enabled, every_n_blocks=1):
        raise ConfigError("not with this model")


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
        return super()._embed(whole_patches(x), mask, mask_token, keep)

    def _as_map(self, patches, images):
        return super()._as_map(patches, whole_patches(images))


def whole_patches(images):
    height, width = (length // 8 * 8 for length in images.shape[2:])
    return images[:, :, :height, :width]


class OneNumberForAll(TinyTokens):
    def input_normalization(self):
        return (0.5,), (0.5,)


class BytesNormalization(TinyTokens):
    def input_normalization(self):
        return (127.5,) * 3, (127.5,) * 3


FAULTS = [
    ("A1", TransposedMap, "compared with 'features': off by"),
    ("A1", MiscountsPrefix, r"'prefix_tokens' has shape \(3, 1, 16\), expected \(3, 2, 16\)"),
    ("A1", OtherClassToken, "'cls_token': off by"),
    ("A1", ForgetsClassToken, "only one of .* returns 'cls_token'"),
    ("A2", ZeroMaskToken, "the mask token gets no gradient"),
    ("A2", LeaksThroughMask, "are not exactly those that are not masked"),
    ("A2", MasksAll, "are not exactly those that are not masked"),
    ("A2", MasksAlways, "tokens with an empty mask"),
    ("A2", PositionsBeforeMask, "all masked patches have the same token"),
    ("A3", SelectsAtTheEnd, "not kept were changed"),
    ("A3", SameSubsetForAll, "kept in another order"),
    ("A3", SortsKept, "kept in another order"),
    ("A3", MasksBehindKeep, "with a mask and all patches kept in another order"),
    ("A4", BlocksBackwards, "block 1 from layers=1"),
    ("A4", OrderAsAsked, r"block 0 from layers=\[1, 0\]"),
    ("A4", IndexErrorForNoBlock, "layers must lie in"),
    ("A4", TakesAnyIndex, "raised no ValueError"),
    ("A4", NeverNorms, "the last block with norm"),
    ("A5", WrongWidths, r"have \(4, 16\) channels, multi_scale_dims\(\) returns \(16, 16\)"),
    ("A5", NotCoarser, "to be coarser than the one before"),
    ("A5", DetachedMap, "map 0 is detached"),
    ("A5", OneMap, "got a single map"),
    ("A6", SavesNothing, "expected fewer than without checkpointing"),
    ("A6", RefusesToSave, r"set_activation_checkpointing\(True\) raises ConfigError"),
    ("A6", ChangesNumbers, "every_n_blocks=1 changed 'features'"),
    ("A6", DrawsNumbers, "sampled random numbers"),
    ("A6", LosesGradients, "changed which parameters get a gradient: .*patch_embedding"),
    ("A6", StaysOn, "cannot be switched off"),
    ("A7", RoundsTheGridUp, r"token_grid returns \(5, 5\)"),
    ("A8", OneNumberForAll, "expected one number for each of 3 channels"),
    ("A8", BytesNormalization, "not possible for pixel values in"),
]


@pytest.mark.parametrize(("code", "wrapper", "message"), FAULTS)
def test_check_finds_the_fault(code, wrapper, message):
    with pytest.raises(Exception, match=message):
        run_checks(wrapper_checks(wrapper, image_size=32), code)


def test_every_check_is_shown_to_find_a_fault():
    found = {code for code, _, _ in FAULTS}
    codes = [check.code for check in wrapper_checks(TinyTokens) if check.code.startswith("A")]
    assert sorted(codes) == sorted(found) == CODES


def test_checks_are_there_for_the_capabilities_that_a_wrapper_has():
    class Pyramid(TinyConv):
        def multi_scale_dims(self):
            return (8, 32)

        def forward_multi_scale(self, x):
            return [self._model[0](x), self._model(x)]

    checks = wrapper_checks(Pyramid, image_size=32)
    assert [check.code for check in checks if check.code.startswith("A")] == ["A5"]
    run_checks(checks, "A5")
    assert not any(check.code.startswith("A") for check in wrapper_checks(TinyConv))


@pytest.mark.parametrize("declared", [(), (TokenModel, MultiScaleFeatures)])
def test_capabilities_that_are_not_those_declared_are_found(declared):
    checks = wrapper_checks(TinyTokens, image_size=32, capabilities=declared)
    with pytest.raises(
        AssertionError, match=r"has the capabilities \['TokenModel', .*are declared"
    ):
        run_checks(checks, "A0")


def test_what_is_no_capability_cannot_be_declared():
    with pytest.raises(ValueError, match=r"TinyConv.*expected some of TokenModel, "):
        wrapper_checks(TinyTokens, capabilities=[TinyConv])


class TwoFaults(OneMap, OneNumberForAll):
    pass


@pytest.mark.parametrize(
    ("wrapper", "tried", "told"),
    [
        (TinyTokens, "TokenModel, MultiScaleFeatures, ActivationCheckpointing", None),
        (TinyConv, "capabilities checked: none", None),
        (TwoFaults, "InputNormalization", r"A5-(?s:.*)got a single map(?s:.*)A8-"),
    ],
)
def test_undeclared_capabilities_are_found_and_all_tried(wrapper, tried, told, caplog):
    case = WrapperCase(wrapper, 32, 3)
    (check,) = undeclared_capability_checks(case)
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
    run_checks(wrapper_checks(wrapper, image_size=32), code)

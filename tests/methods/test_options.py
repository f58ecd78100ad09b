"""What holds for the options of every method."""

import math
import types
import typing

import attrs
import pytest

from lightly_core.config.options.method import RunFacts, unresolved
from lightly_core.config.options.optim import OPTIMIZERS
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config

# Numbers that may be 0, and fractions, which may not be above 1. All others are above 0.
ZERO = {
    *("off_diagonal_weight", "momentum_start", "momentum_end", "dense_weight"),
    *("head_warmup_steps", "head_warmup_epochs", "anchor_weight", "freeze_last_layer_steps"),
    *("warmup_teacher_temp_steps", "warmup_teacher_temp_max_fraction", "center_momentum"),
    *("dino_loss_weight", "ibot_loss_weight", "koleo_loss_weight", "local_loss_weight"),
    *("gram_loss_weight", "gram_start_step", "gram_max_refreshes", "paka_weight"),
    *("paka_start_step", "loss_local_weight", "invariance_weight", "trace_weight"),
    *("regularization_weight", "compression_weight", "power_law_exponent", "patch_loss_weight"),
    *("coding_rate_weight", "group_momentum", "reset_interval", "freeze_prototypes_steps"),
    *("queue_start", "memory_momentum", "contrast_weight", "variance_weight", "alpha"),
    *("covariance_weight", "scale_weight", "shape_weight", "centre_weight", "whitening_eps"),
}
# SwAV has no queue by default. MSN may do without masks and without Sinkhorn.
ZERO_IN = {
    "queue_size": {"swav", "swavqueue"},
    "sinkhorn_iterations": {"msn", "pmsn"},
    "mask_ratio": {"msn", "pmsn"},
}
FRACTIONS = {
    *("momentum_start", "momentum_end", "mask_ratio", "predicted_share", "dense_weight"),
    *("layer_decay", "warmup_teacher_temp_max_fraction", "center_momentum", "target_ratio"),
    *("context_ratio", "group_momentum", "memory_momentum", "alpha", "whitening_eps"),
}
FRACTIONS_IN = {"regularization_weight": {"lejepa", "visreg"}}
# Numbers that must be at least 2; for the last two 1 is no multiple of the number of heads.
TWO = {
    *("num_clusters", "num_prototypes", "num_groups", "bank_size", "grid_size", "paka_grid"),
    *("whitening_size", "predictor_dim", "decoder_dim"),
}
# One channel has no variance that INTL could compare.
TWO_IN = {"output_dim": {"intl"}}


@pytest.fixture(scope="module")
def configs():
    records = get_plugins().catalog.records("method")
    return {record.name: load_config(record) for record in records}


def numbers_of(cls):
    """Yield the names of options that are numbers, and whether they may have a fraction."""
    hints = typing.get_type_hints(cls)
    for field in attrs.fields(cls):
        hint = hints[field.name]
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = typing.get_args(hint) if is_union else (hint,)
        if int in kinds or float in kinds:
            yield field.name, float in kinds


def takes(cls, name, value):
    try:
        cls(**{name: value})
    except ValueError as error:
        return name not in str(error)  # The error has to name the option.
    return True


def facts(images, batch_size=256, steps=100_000):
    return RunFacts(
        dataset_size=images,
        effective_batch_size=batch_size,
        total_steps=steps,
        steps_per_epoch=max(1, images // batch_size),
    )


def test_no_number_may_be_negative_infinite_or_nan(configs):
    taken = []
    for method, cls in configs.items():
        for name, is_float in numbers_of(cls):
            values = [-1, -1e-9, math.nan, math.inf] if is_float else [-1]
            taken += [(method, name, value) for value in values if takes(cls, name, value)]
    assert taken == []
    assert sum(len(list(numbers_of(cls))) for cls in configs.values()) > 300


def test_zero_one_and_more_are_taken_where_they_have_a_meaning(configs):
    wrong = []
    for method, cls in configs.items():
        for name, is_float in numbers_of(cls):
            may_be_zero = name in ZERO or method in ZERO_IN.get(name, ())
            is_fraction = name in FRACTIONS or method in FRACTIONS_IN.get(name, ())
            expected = {0: may_be_zero}
            if is_float:
                expected[1.5] = not is_fraction
            else:
                expected[1] = name not in TWO and method not in TWO_IN.get(name, ())
            wrong += [
                (method, name, value)
                for value, is_right in expected.items()
                if takes(cls, name, value) != is_right
            ]
    assert wrong == []


@pytest.mark.parametrize("images", [2, 100, 20_001, 1_281_167, 10_000_000])
def test_nothing_stays_auto(configs, images):
    left = {name: unresolved(cls().resolve(facts(images))) for name, cls in configs.items()}
    assert {name: options for name, options in left.items() if options} == {}


def test_every_optimizer_has_a_learning_rate(configs):
    rates = {
        (method, name): cls.default_optimizer(name).lr
        for method, cls in configs.items()
        for name in OPTIMIZERS
    }
    assert [key for key, rate in rates.items() if not rate > 0] == []


def test_adam_has_the_values_of_adamw_without_the_decay(configs):
    for method, cls in configs.items():
        adam, adamw = (attrs.asdict(cls.default_optimizer(name)) for name in ("adam", "adamw"))
        without = {"weight_decay": 0.0, "weight_decay_end": None}
        assert adam == {**adamw, **without}, method


def test_a_queue_of_past_images_is_shorter_than_the_dataset(configs):
    for method in ("mocov2", "densecl", "nnclr", "distillationv1", "distillationv3"):
        cls = configs[method]
        for images in (2, 16, 100, 1_000, 1_281_167):
            assert 1 <= cls().resolve(facts(images)).queue_size < images, method
        assert cls(queue_size=99).resolve(facts(100)).queue_size == 99
        with pytest.raises(ConfigError, match=r"method_args.queue_size: got 100 for 100 images"):
            cls(queue_size=100).resolve(facts(100))


def test_small_crops_begin_where_large_ones_end(configs):
    for method, cls in configs.items():
        specs = cls.default_transform().view_specs()
        small = [spec for spec in specs if spec.size[0] < specs[0].size[0]]
        for spec in small:
            assert spec.random_resize.max_scale <= specs[0].random_resize.min_scale, method

import subprocess
import sys

import attrs
import pytest

from lightly_core.config.method import RunFacts
from lightly_core.config.structure import structure
from lightly_core.errors import ConfigError
from lightly_simclr.common.options import fit_queue
from lightly_simclr.dcl.config import DCLConfig, DCLWConfig
from lightly_simclr.densecl.config import DenseCLConfig
from lightly_simclr.mocov2.config import MoCoV2Config
from lightly_simclr.mocov3.config import MoCoV3Config
from lightly_simclr.nnclr.config import NNCLRConfig
from lightly_simclr.simclr.config import SimCLRConfig

ALL = [
    SimCLRConfig, DCLConfig, DCLWConfig, MoCoV2Config, MoCoV3Config, NNCLRConfig, DenseCLConfig
]  # fmt: skip
WITH_QUEUE = [MoCoV2Config, NNCLRConfig, DenseCLConfig]


def facts(images, batch_size=256, steps=100_000):
    return RunFacts(
        dataset_size=images,
        effective_batch_size=batch_size,
        total_steps=steps,
        steps_per_epoch=max(1, images // batch_size),
    )


def test_defaults_of_simclr_are_those_of_lightlytrain():
    assert attrs.asdict(SimCLRConfig()) == {
        "temperature": 0.1,
        "hidden_dim": 2048,
        "output_dim": 128,
        "num_layers": 2,
        "batch_norm": True,
    }
    assert SimCLRConfig.optimizer == "sgd"


def test_the_transform_of_simclr_makes_two_equal_views_as_published():
    first, second = SimCLRConfig.default_transform().view_specs()
    assert first == second
    assert (first.random_resize.min_scale, first.random_resize.max_scale) == (0.08, 1.0)
    jitter = first.color_jitter
    assert (jitter.prob, jitter.strength) == (0.8, 1.0)
    halves = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    assert halves == (0.8, 0.8, 0.8, 0.2)
    assert first.random_gray_scale == 0.2
    assert (first.gaussian_blur.prob, first.gaussian_blur.sigmas) == (0.5, (0.1, 2.0))
    assert first.solarize is None


@pytest.mark.parametrize(
    ("config", "min_scale", "blurs"),
    [
        *[(DCLConfig, 0.08, (0.5, 0.5)), (MoCoV2Config, 0.2, (0.5, 0.5))],
        *[(DenseCLConfig, 0.2, (0.5, 0.5)), (NNCLRConfig, 0.08, (1.0, 0.1))],
        (MoCoV3Config, 0.2, (1.0, 0.1)),
    ],
)
def test_views_are_those_of_the_papers(config, min_scale, blurs):
    first, second = config.default_transform().view_specs()
    assert first.random_resize.min_scale == second.random_resize.min_scale == min_scale
    assert (first.gaussian_blur.prob, second.gaussian_blur.prob) == blurs


@pytest.mark.parametrize(
    ("config", "name", "lr", "weight_decay", "scaling"),
    [
        (SimCLRConfig, "sgd", 0.3, 1e-4, "linear"),
        (SimCLRConfig, "lars", 0.3, 1e-6, "linear"),
        (SimCLRConfig, "adamw", 5e-4, 0.05, "sqrt"),
        (MoCoV2Config, "sgd", 0.03, 1e-4, "linear"),
        (DenseCLConfig, "sgd", 0.03, 1e-4, "linear"),
        (MoCoV3Config, "lars", 0.3, 1e-6, "linear"),
        (NNCLRConfig, "lars", 0.3, 1e-6, "linear"),
    ],
)
def test_optimizers_have_the_values_of_the_method(config, name, lr, weight_decay, scaling):
    args = config.default_optimizer(name)
    assert (args.lr, args.weight_decay, args.lr_scale_method) == (lr, weight_decay, scaling)
    assert args.reference_batch_size == 256


def test_moco_v3_has_the_papers_rate_for_transformers_at_its_batch():
    args = MoCoV3Config.default_optimizer("adamw")
    assert args.lr == pytest.approx(1.5e-4 * 4096 / 256)
    assert args.reference_batch_size == 4096


@pytest.mark.parametrize("config", ALL)
def test_every_optimizer_has_values(config):
    for name in ("sgd", "lars", "adamw"):
        assert config.default_optimizer(name).lr > 0
    assert config.view_counts == (2, 2)


@pytest.mark.parametrize(
    ("images", "batch_size", "rows"),
    [
        (1_281_167, 256, 65_536),
        (50_000, 128, 25_000),
        (1_000, 256, 500),
        (300, 256, 256),
        (256, 256, 255),
        (2, 2, 1),
    ],
)
def test_the_queue_holds_half_of_a_small_dataset(images, batch_size, rows):
    assert fit_queue("auto", facts(images, batch_size), 65_536) == rows


@pytest.mark.parametrize("config", WITH_QUEUE)
def test_a_queue_as_long_as_the_dataset_is_refused(config):
    with pytest.raises(ConfigError, match="queue_size: 100 is too large for 100 images"):
        config(queue_size=100).resolve(facts(100))
    assert config(queue_size=99).resolve(facts(100)).queue_size == 99


@pytest.mark.parametrize(
    ("config", "largest"), [(MoCoV2Config, 65_536), (DenseCLConfig, 65_536), (NNCLRConfig, 98_304)]
)
def test_large_datasets_have_the_papers_queue(config, largest):
    assert config().resolve(facts(1_281_167)).queue_size == largest


@pytest.mark.parametrize(
    ("batch_size", "groups"), [(8, 1), (31, 1), (32, 2), (64, 4), (128, 8), (4096, 8)]
)
def test_key_groups_follow_the_batch(batch_size, groups):
    assert MoCoV2Config().resolve(facts(10_000, batch_size)).key_groups == groups
    assert MoCoV2Config(key_groups=3).resolve(facts(10_000, batch_size)).key_groups == 3


@pytest.mark.parametrize(
    ("config", "steps", "start", "end"),
    [
        (MoCoV2Config, 200_000, 0.999, 0.999),
        (MoCoV2Config, 500, 0.99, 0.999),
        (DenseCLConfig, 200_000, 0.999, 0.999),
        (MoCoV3Config, 200_000, 0.99, 1.0),
    ],
)
def test_the_momentum_is_the_papers_in_long_runs(config, steps, start, end):
    resolved = config().resolve(facts(1_281_167, steps=steps))
    assert resolved.momentum_start == pytest.approx(start)
    assert resolved.momentum_end == end
    assert resolved.export == "student"


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (SimCLRConfig, {"temperature": 0.0}),
        (SimCLRConfig, {"temperature": float("inf")}),
        (SimCLRConfig, {"hidden_dim": 0}),
        (SimCLRConfig, {"num_layers": 0}),
        (DCLWConfig, {"sigma": 0.0}),
        (MoCoV2Config, {"queue_size": 0}),
        (MoCoV2Config, {"key_groups": 0}),
        (MoCoV2Config, {"momentum_end": 1.5}),
        (MoCoV3Config, {"predictor_hidden_dim": 0}),
        (NNCLRConfig, {"queue_size": 0}),
        (DenseCLConfig, {"dense_weight": 1.1}),
        (DenseCLConfig, {"grid_size": 1}),
    ],
)
def test_values_out_of_range_are_refused(config, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        config(**options)


def test_an_unknown_word_is_refused():
    with pytest.raises(ConfigError, match="negatives"):
        structure({"negatives": "queue"}, NNCLRConfig, path="method_args")


@pytest.mark.parametrize("config", ALL)
def test_every_option_has_a_help_text(config):
    assert all(option.metadata["help"] for option in attrs.fields(config))
    assert config.card.use


def test_options_are_read_without_torch():
    modules = ", ".join(config.__module__ for config in ALL)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import subprocess
import sys

import attrs
import pytest

from lightly_simclr.config import SimCLRConfig


def test_defaults_are_those_of_lightlytrain():
    assert attrs.asdict(SimCLRConfig()) == {
        "temperature": 0.1,
        "hidden_dim": 2048,
        "output_dim": 128,
        "num_layers": 2,
        "batch_norm": True,
    }
    assert SimCLRConfig.view_counts == (2, 2)
    assert SimCLRConfig.optimizer == "sgd"


def test_the_transform_makes_two_equal_views_as_published():
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
    ("name", "lr", "weight_decay", "scaling"),
    [("sgd", 0.3, 1e-4, "linear"), ("lars", 0.3, 1e-6, "linear"), ("adamw", 5e-4, 0.05, "sqrt")],
)
def test_optimizers_have_the_values_of_the_method(name, lr, weight_decay, scaling):
    args = SimCLRConfig.default_optimizer(name)
    assert (args.lr, args.weight_decay, args.lr_scale_method) == (lr, weight_decay, scaling)
    assert args.reference_batch_size == 256


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.0}, {"temperature": float("inf")}, {"hidden_dim": 0}, {"num_layers": 0}],
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SimCLRConfig(**options)


def test_every_option_has_a_help_text():
    assert all(option.metadata["help"] for option in attrs.fields(SimCLRConfig))


def test_options_are_read_without_torch():
    code = "import sys, lightly_simclr.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import math
import subprocess
import sys

import attrs
import pytest

from lightly_core.config.method import RunFacts
from lightly_core.config.structure import structure
from lightly_core.errors import ConfigError
from lightly_distillation.config import (
    DistillationConfig,
    DistillationV1Config,
    DistillationV2Config,
    DistillationV3Config,
    resolve_queue_size,
)

ALL = [DistillationV1Config, DistillationV2Config, DistillationV3Config]


def own(config, base_names):
    return {key: value for key, value in attrs.asdict(config).items() if key not in base_names}


def test_defaults_are_those_of_lightlytrain():
    shared = attrs.fields_dict(DistillationConfig).keys()
    assert own(DistillationV1Config(), shared) == {"queue_size": "auto", "temperature": 0.07}
    assert own(DistillationV2Config(), shared) == {
        "loss": "mse",
        "n_teacher_blocks": 2,
        "n_projection_layers": 1,
        "projection_hidden_dim": 2048,
    }
    assert own(DistillationV3Config(), shared) == {
        "queue_size": "auto",
        "temperature_global": 0.07,
        "temperature_local": 0.07,
        "loss_local_weight": 1.0,
        "local_chunk_size": 4096,
        "conv_decay_factor": 2.5e-5,
    }
    teachers = [config().teacher for config in ALL]
    assert teachers == ["dinov2/vitb14-noreg", "dinov2/vitb14-noreg", "dinov3/vitb16"]
    assert all(config().blends() for config in ALL)
    assert [config.optimizer for config in ALL] == ["lars", "lars", "adamw"]
    assert all(config.gradient_clip_val == 1.0 for config in ALL)


@pytest.mark.parametrize("config", ALL)
def test_one_strong_view_without_blur(config):
    (view,) = config.default_transform().view_specs()
    assert (view.random_resize.min_scale, view.random_resize.max_scale) == (0.14, 1.0)
    assert view.random_flip.horizontal_prob == 0.5
    jitter = view.color_jitter
    halves = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    assert [jitter.strength * half for half in halves] == [0.4, 0.4, 0.2, 0.1]
    assert (jitter.prob, view.random_gray_scale) == (0.8, 0.2)
    assert view.gaussian_blur is None
    assert view.solarize is None
    assert config.view_counts == (1, 1)


@pytest.mark.parametrize(
    ("config", "name", "lr", "weight_decay"),
    [
        (DistillationV1Config, "lars", 1.8, 1e-6),
        (DistillationV1Config, "adamw", 5e-4, 0.0),
        (DistillationV2Config, "lars", 9.0, 1e-6),
        (DistillationV3Config, "adamw", 5e-4, 0.04),
        (DistillationV3Config, "lars", 1.8, 1e-6),
    ],
)
def test_optimizers_have_the_published_values(config, name, lr, weight_decay):
    args = config.default_optimizer(name)
    assert (args.lr, args.weight_decay) == (lr, weight_decay)
    assert (args.lr_scale_method, args.reference_batch_size) == ("sqrt", 1536)


@pytest.mark.parametrize("config", ALL)
def test_other_optimizers_have_the_defaults_of_the_core(config):
    assert config.default_optimizer("sgd").momentum == 0.9


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (50, 16), (51, 32), (100, 32), (250, 64), (500, 128), (1000, 256), (1001, 512),
        (2000, 512), (4000, 1024), (10_000, 2048), (20_000, 4096), (20_001, 8192), (10**7, 8192),
        (16, 15), (2, 1), (1, 1),
    ],
)  # fmt: skip
def test_the_queue_grows_with_the_dataset_and_stays_below_it(images, size):
    assert resolve_queue_size("auto", images) == size


@pytest.mark.parametrize("config", ALL)
@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_the_teachers_precision_is_what_the_device_does_natively(config, native, expected):
    facts = RunFacts(
        dataset_size=200,
        effective_batch_size=8,
        total_steps=10,
        steps_per_epoch=5,
        native_bf16=native,
    )
    assert config().resolve(facts).teacher_precision == expected
    assert config(teacher_precision="fp16").resolve(facts).teacher_precision == "fp16"


@pytest.mark.parametrize("config", [DistillationV1Config, DistillationV3Config])
def test_resolving_replaces_auto_and_refuses_a_queue_larger_than_the_dataset(config):
    facts = RunFacts(dataset_size=200, effective_batch_size=8, total_steps=10, steps_per_epoch=5)
    assert config().resolve(facts).queue_size == 64
    assert config(queue_size=199).resolve(facts).queue_size == 199
    with pytest.raises(ConfigError, match="queue_size: 200 is too large for 200 images"):
        config(queue_size=200).resolve(facts)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (DistillationV1Config, {"temperature": 0.0}),
        (DistillationV1Config, {"queue_size": 0}),
        (DistillationV2Config, {"n_teacher_blocks": 0}),
        (DistillationV2Config, {"n_projection_layers": 0}),
        (DistillationV3Config, {"temperature_local": math.inf}),
        (DistillationV3Config, {"loss_local_weight": -1.0}),
        (DistillationV3Config, {"local_chunk_size": 0}),
        (DistillationV3Config, {"teacher_chunk_size": 0}),
        (DistillationV3Config, {"teacher": ""}),
    ],
)
def test_values_out_of_range_are_refused(config, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        config(**options)


@pytest.mark.parametrize("config", ALL)
def test_two_sources_of_weights_are_refused(config):
    given = {"teacher_weights": "a.pth", "teacher_url": "http://host/a.pth"}
    with pytest.raises(ConfigError, match="teacher_weights and teacher_url are both given"):
        structure(given, config, path="config.method_args")


def test_options_are_read_without_torch():
    code = "import sys, lightly_distillation.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import subprocess
import sys

import attrs
import pytest

from lightly_core.config.method import RunFacts
from lightly_core.config.structure import structure
from lightly_dino.config import DINOConfig
from lightly_dino.config_sim import SimDINOConfig, SimDINOv2Config
from lightly_dino.config_tokens import DINOv2Config, DINOv3Config, DINOv31Config, IBOTConfig

ALL = [
    DINOConfig,
    IBOTConfig,
    DINOv2Config,
    DINOv3Config,
    DINOv31Config,
    SimDINOConfig,
    SimDINOv2Config,
]


def facts(dataset_size=1_281_167, total_steps=125_000, steps_per_epoch=1251):
    return RunFacts(
        dataset_size=dataset_size,
        effective_batch_size=1024,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )


def test_a_run_of_the_size_of_imagenet_has_the_values_of_the_paper():
    config = DINOConfig().resolve(facts())
    assert config.output_dim == 65536
    assert config.momentum_start == 0.996
    assert config.momentum_end == 1.0
    assert (config.student_temp, config.warmup_teacher_temp, config.teacher_temp) == (
        0.1,
        0.04,
        0.07,
    )
    assert config.center_momentum == 0.9
    assert config.freeze_last_layer_steps == 1250
    assert (config.hidden_dim, config.bottleneck_dim, config.batch_norm) == (2048, 256, False)
    assert DINOConfig.gradient_clip_val == 3.0


def test_a_small_set_gets_small_values():
    config = DINOConfig().resolve(facts(1_000, total_steps=400, steps_per_epoch=7))
    assert (config.output_dim, config.momentum_start) == (1024, 0.99)
    assert (config.warmup_teacher_temp, config.teacher_temp) == (0.02, 0.02)
    assert config.freeze_last_layer_steps == 7


def test_the_first_temperature_is_not_above_the_last():
    assert DINOConfig(teacher_temp=0.03).resolve(facts()).warmup_teacher_temp == 0.03
    explicit = DINOConfig(teacher_temp=0.03, warmup_teacher_temp=0.05).resolve(facts())
    assert explicit.warmup_teacher_temp == 0.05


@pytest.mark.parametrize("total_steps", [1, 10, 100])
def test_freezing_takes_at_most_a_twentieth_of_a_run(total_steps):
    config = DINOConfig().resolve(facts(total_steps=total_steps, steps_per_epoch=total_steps))
    assert config.freeze_last_layer_steps == total_steps // 20


def test_gram_anchoring_begins_in_mid_run():
    assert DINOv3Config().resolve(facts()).gram_start_step == 50_000
    assert DINOv3Config(gram_start_step=7).resolve(facts()).gram_start_step == 7


@pytest.mark.parametrize(
    ("cls", "given", "name"),
    [
        (DINOConfig, {"teacher_momentum": 0.97}, "momentum_start"),
        (DINOConfig, {"momentum_start": 0.97}, "momentum_start"),
        (DINOConfig, {"student_freeze_last_layer_steps": 3}, "freeze_last_layer_steps"),
        (
            DINOConfig,
            {"warmup_teacher_temp_max_steps_fraction": 0.2},
            "warmup_teacher_temp_max_fraction",
        ),
        (DINOv2Config, {"teacher_momentum": 0.97}, "momentum_start"),
        (DINOv2Config, {"dino_bottleneck_dim": 32}, "bottleneck_dim"),
        (DINOv2Config, {"student_freeze_backbone_steps": 5}, "head_warmup_steps"),
        (DINOv2Config, {"center_method": "sinkhorn_knopp"}, "centering"),
        (SimDINOv2Config, {"teacher_momentum": 0.97}, "momentum_start"),
    ],
)
def test_other_names_of_arguments_work(cls, given, name):
    config = structure(given, cls, path="config.method_args")
    assert getattr(config, name) == next(iter(given.values()))


def test_epochs_of_warm_up_become_steps():
    config = DINOv2Config(head_warmup_epochs=1.5).resolve(facts(steps_per_epoch=10))
    assert (config.head_warmup_steps, config.head_warmup_epochs) == (15, None)
    with pytest.raises(ValueError, match="head_warmup_epochs"):
        DINOv2Config(head_warmup_epochs=1, head_warmup_steps=5)


WRONG = [
    ("momentum_start", 1.5),
    ("momentum_end", -0.1),
    ("output_dim", 0),
    ("teacher_temp", 0.0),
    ("warmup_teacher_temp", 0.0),
    ("student_temp", -1.0),
    ("freeze_last_layer_steps", -1),
    ("backbone_lr_factor", 0.0),
    ("layer_decay", 1.1),
    ("patch_embed_lr_factor", float("inf")),
    ("anchor_weight", float("nan")),
    ("head_warmup_steps", -1),
    ("gram_start_step", -1),
    ("coding_rate_eps", 0.0),
    ("paka_grid", 1),
]


@pytest.mark.parametrize("cls", ALL)
def test_values_out_of_range_are_refused(cls):
    names = {attribute.name for attribute in attrs.fields(cls)}
    for name, value in WRONG:
        if name in names:
            with pytest.raises(ValueError, match=name):
                cls(**{name: value})


@pytest.mark.parametrize("cls", ALL)
def test_nothing_stays_auto(cls):
    assert "auto" not in attrs.asdict(cls().resolve(facts())).values()


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_every_optimizer_has_values(cls, name):
    assert cls.default_optimizer(name).lr > 0


def test_adamw_has_the_schedules_of_the_paper():
    args = DINOConfig.default_optimizer("adamw")
    assert (args.lr, args.weight_decay, args.weight_decay_end) == (5e-4, 0.04, 0.4)
    assert args.lr * args.final_lr_fraction == pytest.approx(1e-6)
    args = DINOv2Config.default_optimizer("adamw")
    assert (args.lr, args.lr_scale_method, args.reference_batch_size) == (4e-3, "sqrt", 1024)
    assert args.lr * args.final_lr_fraction == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("cls", "sizes"), [(DINOConfig, [224, 224] + [96] * 6), (DINOv2Config, [224, 224] + [98] * 8)]
)
def test_the_views_are_two_global_ones_and_small_crops(cls, sizes):
    specs = cls.default_transform().view_specs()
    assert [spec.size[0] for spec in specs] == sizes
    assert [spec.gaussian_blur.prob for spec in specs[:3]] == [1.0, 0.1, 0.5]
    assert [spec.solarize is not None for spec in specs[:3]] == [False, True, False]
    assert specs[2].random_resize.max_scale == specs[0].random_resize.min_scale


def test_options_are_read_without_torch():
    code = "import sys, lightly_dino.config_sim; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

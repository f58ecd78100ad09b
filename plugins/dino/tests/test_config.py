"""Options that follow from the run: sizes, temperatures, steps."""

import pytest

from lightly_core.config.options.method import RunFacts
from lightly_dino.dino_config import DINOConfig
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.dinov3_config import DINOv3Config


def facts(dataset_size=1_281_167, total_steps=125_000, steps_per_epoch=1251):
    return RunFacts(
        dataset_size=dataset_size,
        effective_batch_size=1024,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )


def test_a_run_of_the_size_of_imagenet_has_the_values_of_the_paper():
    config = DINOConfig().resolve(facts())
    assert (config.output_dim, config.momentum_start) == (65536, 0.996)
    assert (config.warmup_teacher_temp, config.teacher_temp) == (0.04, 0.07)
    assert config.freeze_last_layer_steps == 1250


def test_a_small_set_gets_small_values():
    config = DINOConfig().resolve(facts(1_000, total_steps=400, steps_per_epoch=7))
    assert (config.output_dim, config.momentum_start) == (1024, 0.99)
    assert (config.warmup_teacher_temp, config.teacher_temp) == (0.02, 0.02)
    assert config.freeze_last_layer_steps == 7


@pytest.mark.parametrize(
    ("most", "dim"),
    [(20_000, 1024), (50_000, 2048), (100_000, 4096), (200_000, 16384), (500_000, 32768)],
)
def test_more_images_get_more_prototypes(most, dim):
    # The steps of LightlyTrain.
    following = {1024: 2048, 2048: 4096, 4096: 16384, 16384: 32768, 32768: 65536}
    assert DINOConfig().resolve(facts(most)).output_dim == dim
    assert DINOConfig().resolve(facts(most + 1)).output_dim == following[dim]


def test_values_between_small_and_large_sets_are_in_proportion():
    config = DINOConfig().resolve(facts(20_000 + 980_000 // 2))
    assert config.momentum_start == pytest.approx((0.99 + 0.996) / 2)
    assert config.teacher_temp == pytest.approx((0.02 + 0.07) / 2)
    assert config.warmup_teacher_temp == pytest.approx((0.02 + 0.04) / 2)


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


def test_epochs_of_warm_up_become_steps():
    config = DINOv2Config(head_warmup_epochs=1.5).resolve(facts(steps_per_epoch=10))
    assert (config.head_warmup_steps, config.head_warmup_epochs) == (15, None)
    with pytest.raises(ValueError, match="head_warmup_epochs"):
        DINOv2Config(head_warmup_epochs=1, head_warmup_steps=5)

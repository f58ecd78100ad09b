"""Options that follow from the run and the machine, and those that exclude each other."""

import pytest

from lightly_core.config.options.method import RunFacts
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError
from lightly_distillation.config import (
    DistillationV1Config,
    DistillationV2Config,
    DistillationV3Config,
    queue_rows,
)

ALL = [DistillationV1Config, DistillationV2Config, DistillationV3Config]


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (50, 16), (51, 32), (100, 32), (250, 64), (500, 128), (1000, 256), (1001, 512),
        (2000, 512), (4000, 1024), (10_000, 2048), (20_000, 4096), (20_001, 8192), (10**7, 8192),
        (16, 15), (2, 1), (1, 1),
    ],
)  # fmt: skip
def test_the_queue_grows_with_the_dataset_and_stays_below_it(images, size):
    facts = RunFacts(dataset_size=images, effective_batch_size=8, total_steps=10, steps_per_epoch=5)
    assert queue_rows("auto", facts) == size


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


def test_an_empty_name_of_a_teacher_is_refused():
    with pytest.raises(ValueError, match="teacher"):
        DistillationV1Config(teacher="")


@pytest.mark.parametrize("config", ALL)
def test_two_sources_of_weights_are_refused(config):
    given = {"teacher_weights": "a.pth", "teacher_url": "http://host/a.pth"}
    with pytest.raises(ConfigError, match="teacher_weights and teacher_url are both given"):
        structure(given, config, path="config.method_args")

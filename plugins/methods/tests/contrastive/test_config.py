"""Options that follow from the run: queues, groups of keys, momenta."""

import pytest

from lightly_core.config.options.method import RunFacts
from lightly_core.config.options.recipes import fit_queue
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError
from lightly_methods.contrastive.densecl_config import DenseCLConfig
from lightly_methods.contrastive.mocov2_config import MoCoV2Config
from lightly_methods.contrastive.mocov3_config import MoCoV3Config
from lightly_methods.contrastive.nnclr_config import NNCLRConfig


def facts(images, batch_size=256, steps=100_000):
    return RunFacts(
        dataset_size=images,
        effective_batch_size=batch_size,
        total_steps=steps,
        steps_per_epoch=max(1, images // batch_size),
    )


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


def test_an_unknown_word_is_refused():
    with pytest.raises(ConfigError, match="negatives"):
        structure({"negatives": "queue"}, NNCLRConfig, path="method_args")

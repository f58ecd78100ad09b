"""The cache of the teacher's features by itself: its rows, its size, its options."""

import copy
import json
import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest
import torch

from lightly_core.errors import ConfigError, RunError
from lightly_distillation.cache import CacheFiles, FeatureCache, checksums
from lightly_distillation.cache_plan import CachePlan, plan_cache
from lightly_distillation.config import (
    DistillationV1Config,
    DistillationV2Config,
    DistillationV3Config,
)
from lightly_distillation.teacher import Teacher

ALL = [DistillationV1Config, DistillationV2Config, DistillationV3Config]
PARTS = {"pooled": (5,), "map": (4, 2, 3)}


@pytest.fixture
def plan(tmp_path):
    return CachePlan(tmp_path / "cache", 12, PARTS, {"seed": 0}, "teacher")


@pytest.fixture
def compute():
    """Features that follow from the images alone; counts the images."""

    def features(images):
        features.images += len(images)
        values = images.flatten(1).mean(1)
        pooled = values[:, None] * torch.arange(1, 6)
        # A layout of another order, as networks with channels_last give.
        wide = (values[:, None] * torch.arange(1, 25)).view(-1, 2, 3, 4).permute(0, 3, 1, 2)
        return pooled, wide

    features.images = 0
    return features


@pytest.fixture
def images():
    return torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def ids(*values):
    return torch.tensor(values)


# ---------------------------------------------------------------------- rows


def test_rows_are_computed_once_and_come_back_bit_for_bit(plan, compute, images):
    cache = FeatureCache(plan)
    first = cache.features(ids(0, 3, 6, 9, 11, 1), images, compute)
    assert compute.images == 6
    order = [4, 0, 2, 1, 5, 3]
    again = FeatureCache(plan).features(ids(11, 0, 6, 3, 1, 9), images[order], compute)
    assert compute.images == 6
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one[order], other)
        assert one.dtype == other.dtype == torch.float32
        assert one.stride() == other.stride()
    for value, live in zip(first, compute(images), strict=True):
        torch.testing.assert_close(value, live.half().float(), rtol=0, atol=0)


def test_a_batch_that_is_there_in_part_computes_the_rest_only(plan, compute, images):
    cache = FeatureCache(plan)
    cache.features(ids(7, 2), images[[1, 4]], compute)
    merged = cache.features(ids(5, 7, 0, 1, 2, 3), images, compute)
    assert compute.images == 2 + 4
    for value, live in zip(merged, compute(images), strict=True):
        assert torch.equal(value, live.half().float())


def test_views_without_a_number_are_computed_each_time_and_not_kept(plan, compute, images):
    cache = FeatureCache(plan)
    cache.features(None, images, compute)
    cache.features(torch.full((6,), -1), images, compute)
    assert not plan.folder.exists()
    for expected in (18, 20):
        values = cache.features(ids(0, 1, -1, 2, 3, -1), images, compute)
        assert compute.images == expected
    assert torch.equal(values[0], compute(images)[0].half().float())
    assert np.count_nonzero(np.load(plan.checksums)) == 4


@pytest.mark.parametrize("part", ["pooled", "map"])
def test_a_row_that_a_crash_has_cut_off_is_computed_again(plan, compute, images, part):
    rows = ids(0, 1, 2, 3, 4, 5)
    first = FeatureCache(plan).features(rows, images, compute)
    stored = np.load(plan.part(part), mmap_mode="r+")
    stored[3].reshape(-1)[-1] = 0
    stored.flush()
    again = FeatureCache(plan).features(rows, images, compute)
    assert compute.images == 6 + 1
    assert all(map(torch.equal, first, again))
    FeatureCache(plan).features(rows, images, compute)
    assert compute.images == 6 + 1  # and written again


def test_a_checksum_without_its_row_counts_as_nothing(plan, compute, images):
    FeatureCache(plan).features(ids(0), images[:1], compute)
    marks = np.load(plan.checksums, mmap_mode="r+")
    marks[1:] = marks[0]
    marks.flush()
    FeatureCache(plan).features(ids(0, 1, 2, 3, 4, 5), images, compute)
    assert compute.images == 1 + 5


def test_each_value_has_its_part_in_the_checksum():
    rng = np.random.default_rng(0)
    for width in (3, 8):  # words of two bytes, and of eight
        rows = rng.standard_normal((2, width)).astype(np.float16)
        other = rng.standard_normal((2, 4)).astype(np.float16)
        sums = checksums([rows, other])
        assert sums[0] != sums[1]
        for column in range(width):
            changed = rows.copy()
            changed[0, column] *= 2
            assert checksums([changed, other])[0] != sums[0]
            assert checksums([changed, other])[1] == sums[1]
    assert checksums([np.zeros((1, 4), np.float16)]) == 1


def test_two_at_a_time_find_what_the_other_has_written(plan, compute, images):
    one, two = FeatureCache(plan), FeatureCache(plan)
    one.features(ids(0, 1), images[:2], compute)
    two.features(ids(2, 3), images[2:4], compute)
    rows = ids(0, 1, 2, 3)
    assert all(map(torch.equal, *(each.features(rows, images[:4], compute) for each in (one, two))))
    assert compute.images == 4


@pytest.mark.slow
def test_processes_that_start_together_make_one_cache(tmp_path):
    plan = CachePlan(tmp_path / "cache", 400, {"pooled": (64,)}, {}, "teacher")

    def write(start):
        cache = FeatureCache(plan)
        for row in range(start, 400, 2):
            cache.features(ids(row), torch.full((1, 64), row / 8), lambda x: (x,))

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=write, args=(start,)) for start in (0, 1)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0]
    assert plan.rows_written() == 400
    found, (values,) = CacheFiles(plan).read(np.arange(400))
    assert len(found) == 400
    assert torch.equal(values.float(), torch.arange(400)[:, None].expand(400, 64) / 8)


def test_a_cache_can_be_copied_and_pickled_while_it_is_open(plan, compute, images):
    cache = FeatureCache(plan)
    cache.features(ids(0), images[:1], compute)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        other.features(ids(0), images[:1], compute)
    assert compute.images == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's disk that is always full")
def test_training_goes_on_when_the_disk_becomes_full(plan, compute, images, caplog):
    cache = FeatureCache(plan)
    cache.features(ids(0), images[:1], compute)
    full = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115 - the cache closes it
    cache._files._writers[0] = full
    for _ in range(2):
        values = cache.features(ids(0, 1), images[:2], compute)
        assert torch.equal(values[0], compute(images[:2])[0].half().float())
    assert caplog.text.count("are not kept") == 1
    assert plan.rows_written() == 1


def test_features_above_half_precision_end_the_run(plan, images):
    large = lambda x: (torch.full((len(x), 5), 1e5), torch.zeros(len(x), 4, 2, 3))  # noqa: E731
    with pytest.raises(RunError, match=r"\(pooled\) that are not finite or above 65504"):
        FeatureCache(plan).features(ids(0), images[:1], large)
    assert plan.rows_written() == 0


@pytest.mark.parametrize("damage", ["missing", "short", "other"])
def test_damaged_files_are_told_with_a_remedy(plan, compute, images, damage):
    FeatureCache(plan).features(ids(0), images[:1], compute)
    file = plan.part("map")
    if damage == "missing":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:200])
    else:
        np.save(file, np.zeros((12, 3), np.float16))
    with pytest.raises(ConfigError, match="remove this folder, which is then created again"):
        FeatureCache(plan).features(ids(0), images[:1], compute)


# ---------------------------------------------------------------------- plan


@pytest.fixture
def planned(tmp_path, make_context):
    def make(context=None, teacher=None, parts=None, **options):
        config = DistillationV2Config(**{"cache": 2, "cache_dir": str(tmp_path / "c"), **options})
        return plan_cache(
            config,
            make_context(view_facts={"seed": 0, **(context or {})}),
            teacher or {"name": "library/name", "weights": "abc"},
            parts or {"map2": (6, 2, 2)},
        )

    return make


def test_the_size_is_that_of_the_files(planned, caplog):
    caplog.set_level("INFO")
    plan = planned()
    assert plan.num_rows == 100 * 2
    assert plan.num_bytes == 200 * (6 * 2 * 2 * 2 + 8)
    assert "teacher features of 100 images x 2 views: 11.2 kB in" in caplog.text
    assert "(0 % written" in caplog.text
    assert not plan.folder.exists()
    CacheFiles(plan)
    found = sum(path.stat().st_size for path in plan.folder.glob("*.npy"))
    assert plan.num_bytes < found <= plan.num_bytes + 2 * 128  # two headers
    assert json.loads(plan.description.read_text())["teacher"]["name"] == "library/name"


@pytest.mark.parametrize(
    "change",
    [
        {"cache": 3},
        {"context": {"seed": 1}},
        {"teacher": {"name": "library/name", "weights": "abd"}},
        {"parts": {"map1": (6, 2, 2)}},
    ],
)
def test_what_changes_the_features_has_another_folder(planned, change):
    assert planned().folder == planned().folder
    assert planned().folder != planned(**change).folder
    assert planned().folder.name.startswith("library-name-")


def test_the_folder_follows_the_cache_of_downloads(planned, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert planned(cache_dir=None).folder.parent == tmp_path / "elsewhere/features"


def test_a_teachers_facts_tell_it_from_others(conv_teacher, token_teacher, make_context):
    def facts(wrapper, **options):
        return Teacher(copy.deepcopy(wrapper), make_context(), **options).facts()

    known = facts(conv_teacher)
    assert facts(conv_teacher) == known
    json.dumps(known)
    changed = copy.deepcopy(conv_teacher)
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-6
    others = [
        facts(changed),
        facts(token_teacher),
        facts(conv_teacher, precision="bf16"),
        facts(conv_teacher, normalization=((0.4,) * 3, (0.5,) * 3)),
    ]
    assert all(other != known for other in others)


@pytest.mark.parametrize(
    ("options", "free", "texts"),
    [
        (
            {"cache_max_gb": 8e-6},
            10**12,
            ["need 11.2 kB, more than cache_max_gb=8e-06", "cache=1 fits", "smaller transform"],
        ),
        ({}, 11_000, ["need 11.2 kB, but", "11.0 kB free", "cache=1 fits", "distillationv1"]),
        ({"parts": {"pooled": (24,)}}, 11_000, ["use fewer views", "cache_dir"]),
        ({}, 100, ["use a smaller transform_args.image_size"]),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    planned, tmp_path, monkeypatch, options, free, texts
):
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ConfigError) as caught:
        planned(**options)
    assert all(text in str(caught.value) for text in texts)
    assert not (tmp_path / "c").exists()


def test_what_is_there_already_needs_no_space(planned, tmp_path, monkeypatch):
    plan = planned()
    values = np.ones((150, 6, 2, 2), np.float16)
    CacheFiles(plan).write(np.arange(150), [values])
    usage = shutil.disk_usage(tmp_path)._replace(free=3000)  # for 50 rows of 56 bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert planned().rows_written() == 150


def test_a_file_in_place_of_the_folder_is_refused(planned, tmp_path):
    (tmp_path / "c").write_text("")
    with pytest.raises(ConfigError, match="is not a folder that can be written to"):
        planned()


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize("config", ALL)
def test_with_a_cache_images_are_not_blended(config):
    assert config().blends()
    assert not config(cache=2).blends()
    assert not config(cache=2, mixup=False).blends()
    assert (config(cache=2).view_period(), config().view_period()) == (2, None)
    with pytest.raises(ValueError, match="mixup=true and cache=2 are both given"):
        config(cache=2, mixup=True)


@pytest.mark.parametrize("options", [{"cache": 0}, {"cache_max_gb": 0.0}, {"cache_dir": ""}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DistillationV1Config(**options)

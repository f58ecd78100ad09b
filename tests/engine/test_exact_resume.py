"""Every method goes on from an interruption as if there had been none, to the last bit."""

import itertools
import shutil
import traceback

import numpy as np
import pytest
import small_methods
import torch
from circles import mark_others
from lightning.pytorch.callbacks import LambdaCallback
from PIL import Image
from run_states import differing, state_of, stop_in_step

import lightly_core
from lightly_core.errors import RunInterrupted

# Three epochs of four batches, by accumulated batches; each stop lies inside the second epoch.
# With three to a step the last step of an epoch has a single one.
STOP_AFTER = {1: 6, 3: 3}
#: A test takes every fourth method.
METHODS_APART = 4


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(32):
        pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


def run(name, out, images, accumulation, *, callbacks=(), **changes):
    settings = {
        **small_methods.small_run(name),
        "out": out,
        "data": images,
        "epochs": 3,
        "batch_size": 8,
        "gradient_accumulation_steps": accumulation,
        "num_workers": 0,
        "precision": "32-true",
        "accelerator": "cpu",
        "loggers": {"tensorboard": None},
        "callbacks": {"signals": None, "model_checkpoint": {"min_seconds_between": 1e6}},
        "trainer_args": {"callbacks": list(callbacks)},
    }
    return lightly_core.pretrain(**{**settings, **changes})


def resume(name, out, images, accumulation, **changes):
    """Let a run that was stopped go on to its end."""
    stopped = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    assert (stopped["lightly"]["epoch"], stopped["lightly"]["batches"] % 4 > 0) == (1, True)
    run(name, out, images, accumulation, resume_interrupted=True, **changes)


def difference(whole, resumed):
    """Return what differs in what two runs have left, or None."""
    one = state_of(whole)
    found = differing(one, state_of(resumed))
    return f"{len(found)} of {len(one)}, such as {found[0]}" if found else None


@pytest.mark.slow
def test_a_queue_and_a_teacher_resume_exactly_with_accumulation(tmp_path, images):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run("mocov2", whole, images, 3)
    with pytest.raises(RunInterrupted):
        run("mocov2", cut, images, 3, callbacks=[stop_in_step(STOP_AFTER[3])])
    resume("mocov2", cut, images, 3)
    assert difference(whole, cut) is None


def copied_after(step, out, copy):
    """Copy a run's folder before the next batch, with the checkpoint that a stop there writes."""

    def save_and_copy(trainer, *_):
        if trainer.global_step == step and not copy.exists():
            trainer.save_checkpoint(out / "checkpoints/last.ckpt")
            shutil.copytree(out, copy, ignore=shutil.ignore_patterns(".lock"))

    return LambdaCallback(on_train_batch_start=save_and_copy)


def geometric_views(name):
    """Leave out what changes colours and takes time; no method keeps anything of it."""
    none = {"color_jitter": None, "gaussian_blur": None, "solarize": None}
    views = {**small_methods.small_run(name)["transform_args"], **none}
    if "local_view" in views:
        views["local_view"] = {**views["local_view"], "gaussian_blur": None}
    return views


def difference_without_a_stop(name, accumulation, folder, images):
    """Return what differs after a run's second half was done once more from a checkpoint."""
    whole, copy = folder / f"{name}-{accumulation}-whole", folder / f"{name}-{accumulation}-copy"
    copies = copied_after(STOP_AFTER[accumulation], whole, copy)
    views = {"transform_args": geometric_views(name)}
    run(name, whole, images, accumulation, callbacks=[copies], **views)
    resume(name, copy, images, accumulation, **views)
    return difference(whole, copy)


def failures_of(names, folder, images):
    failures = []
    # What a method keeps is the same with and without accumulation, so one of the two is enough.
    for name, accumulation in zip(names, itertools.cycle(STOP_AFTER), strict=False):
        try:
            found = difference_without_a_stop(name, accumulation, folder, images)
        except Exception:
            found = traceback.format_exc(limit=-3)
        if found is not None:
            failures.append(f"{name}, accumulation {accumulation}: {found}")
    return failures


# The test above has a stop. The methods do not see how a checkpoint came about, so here the run
# that goes on and the one that is stopped are the same, which halves the time.
@pytest.mark.families
@pytest.mark.parametrize(
    "first", mark_others(pytest.mark.exhaustive, range(METHODS_APART), 0), ids="from {}".format
)
def test_every_method_resumes_exactly(tmp_path, images, first):
    assert len(small_methods.all_methods()) >= 40
    failures = failures_of(small_methods.all_methods()[first::METHODS_APART], tmp_path, images)
    assert not failures, "\n".join(failures)

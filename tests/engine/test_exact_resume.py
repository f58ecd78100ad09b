"""Every method goes on from an interruption as if there had been none, to the last bit."""

import traceback

import numpy as np
import pytest
import small_methods
import torch
from PIL import Image
from run_states import differing, state_of, stop_in_step

import lightly_core
from lightly_core.errors import RunInterrupted

# Three epochs of four batches, by accumulated batches; each stop lies inside the second epoch.
# With three to a step the last step of an epoch has a single one.
STOP_AFTER = {1: 6, 3: 3}


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


def difference(name, accumulation, folder, images):
    """Return what differs after a resume, or None."""
    whole, cut = folder / f"{name}-{accumulation}-whole", folder / f"{name}-{accumulation}-cut"
    run(name, whole, images, accumulation)
    with pytest.raises(RunInterrupted):
        run(name, cut, images, accumulation, callbacks=[stop_in_step(STOP_AFTER[accumulation])])
    stopped = torch.load(cut / "checkpoints/last.ckpt", weights_only=True)
    assert (stopped["lightly"]["epoch"], stopped["lightly"]["batches"] % 4 > 0) == (1, True)
    run(name, cut, images, accumulation, resume_interrupted=True)
    one = state_of(whole)
    found = differing(one, state_of(cut))
    return f"{len(found)} of {len(one)}, such as {found[0]}" if found else None


def failures_of(names, folder, images):
    failures = []
    for name in names:
        for accumulation in STOP_AFTER:
            try:
                found = difference(name, accumulation, folder, images)
            except Exception:
                found = traceback.format_exc(limit=-3)
            if found is not None:
                failures.append(f"{name}, accumulation {accumulation}: {found}")
    return failures


def test_a_queue_and_a_teacher_resume_exactly_with_accumulation(tmp_path, images):
    assert difference("mocov2", 3, tmp_path, images) is None


@pytest.mark.families
def test_every_method_resumes_exactly(tmp_path, images):
    assert len(small_methods.all_methods()) >= 40
    failures = failures_of(small_methods.all_methods(), tmp_path, images)
    assert not failures, "\n".join(failures)

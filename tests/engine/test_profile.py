"""The setting `profile`: what a step cost, and what to change first."""

import json
import signal

import lightning.pytorch as lightning
import pytest
import torch
from attrs import evolve

from lightly_core.data.base import ImageSource
from lightly_core.data.timing import BatchTimes, TimedSource
from lightly_core.engine.profile.advice import advice
from lightly_core.engine.profile.costs import Made, StepCosts
from lightly_core.engine.profile.profiler import PARTS, SYNCHRONISED, WARMUP, StepProfiler
from lightly_core.errors import ConfigError, RunInterrupted

# ----------------------------------------------------------------------------- the profiler

#: Actions of Lightning in the order of a step, and the seconds that pass before each. What is
#: indented is inside the action before it.
STEP = (
    ("start", "[_TrainingEpochLoop].train_dataloader_next", 0),
    ("stop", "[_TrainingEpochLoop].train_dataloader_next", 5),  # data
    ("start", "[Strategy]DDPStrategy.batch_to_device", 1),
    ("start", "[LightningModule]TrainingModule.on_after_batch_transfer", 2),  # transfer
    ("stop", "[LightningModule]TrainingModule.on_after_batch_transfer", 7),  # views
    ("stop", "[Strategy]DDPStrategy.batch_to_device", 0),
    ("start", "[Callback]SkipsCallback.on_train_batch_start", 3),
    ("stop", "[Callback]SkipsCallback.on_train_batch_start", 1),
    ("start", "[LightningModule]TrainingModule.optimizer_step", 0),
    ("start", "[Strategy]DDPStrategy.training_step", 2),  # update
    ("stop", "[Strategy]DDPStrategy.training_step", 20),  # forward
    ("start", "[Strategy]DDPStrategy.backward", 0),
    ("stop", "[Strategy]DDPStrategy.backward", 30),  # backward
    ("start", "[LightningModule]TrainingModule.on_before_optimizer_step", 0),
    ("stop", "[LightningModule]TrainingModule.on_before_optimizer_step", 4),
    ("stop", "[LightningModule]TrainingModule.optimizer_step", 6),  # update
    ("start", "[Callback]FinishBatch.on_train_batch_end", 0),
    ("stop", "[Callback]FinishBatch.on_train_batch_end", 1),  # update
    ("start", "[Callback]CheckpointCallback.on_train_batch_end", 0),
    ("stop", "[Callback]CheckpointCallback.on_train_batch_end", 9),  # between
)
PARTS_OF_STEP = {
    "data": 5,
    "transfer": 2,
    "views": 7,
    "forward": 20,
    "backward": 30,
    "update": 9,
    "rest": 9,
    "between": 9,
}
EPOCH = "run_training_epoch"


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def play(self, profiler, actions):
        for what, action, seconds in actions:
            self.now += seconds
            getattr(profiler, what)(action)


def test_time_belongs_to_the_innermost_part():
    clock = Clock()
    profiler = StepProfiler(clock=clock)
    measured = ("start", "[Callback]KnnCallback.on_train_start", 0)
    clock.play(profiler, [measured, ("stop", measured[1], 100), ("start", EPOCH, 50)])
    clock.play(profiler, STEP)
    assert profiler.sums.seconds == PARTS_OF_STEP
    assert (profiler.sums.profiled, profiler.sums.batches) == (1, 1)
    # The time until the next epoch's first batch is shared by saving and by waiting.
    clock.play(profiler, [("stop", EPOCH, 0), ("start", EPOCH, 11), *_later(STEP, 8)])
    expected = {part: 2 * seconds for part, seconds in PARTS_OF_STEP.items()}
    assert profiler.sums.seconds == {
        **expected,
        "between": expected["between"] + 11,
        "data": expected["data"] + 8,
    }
    # The end of a run does not count.
    end = ("start", "[Callback]KnnCallback.on_train_end", 0)
    clock.play(profiler, [("stop", EPOCH, 0), end, ("stop", end[1], 100)])
    assert profiler.sums.mean() == {
        part: seconds / 2 for part, seconds in profiler.sums.seconds.items()
    }
    assert sum(profiler.sums.seconds.values()) == clock.now - 150 - 100


def _later(actions, seconds):
    (what, action, before), *rest = actions
    return [(what, action, before + seconds), *rest]


def test_the_first_steps_do_not_count_in_a_longer_run():
    clock = Clock()
    profiler = StepProfiler(clock=clock)
    clock.play(profiler, [("start", EPOCH, 0)])
    for _ in range(WARMUP):
        clock.play(profiler, _later(STEP, 1000))
    for _ in range(2):
        clock.play(profiler, STEP)
    assert profiler.sums.mean() == PARTS_OF_STEP
    assert profiler.sums.profiled == 2


def test_the_device_is_waited_for_in_profiled_steps_only():
    clock, waits = Clock(), []
    profiler = StepProfiler(lambda: waits.append(clock.now), clock)
    clock.play(profiler, [("start", EPOCH, 0)])
    counts = []
    for _ in range(200):
        before = len(waits)
        clock.play(profiler, STEP)
        counts.append(len(waits) - before)
    waiting = [step for step, count in enumerate(counts) if count > 1]
    block = range(WARMUP, WARMUP + SYNCHRONISED)
    assert waiting == [start + step for start in (0, 100) for step in block]
    assert sum(counts[:WARMUP]) == 0
    assert profiler.sums.profiled == 2 * SYNCHRONISED
    # Saving is the exception: it is divided by all steps, since it happens in any of them.
    assert profiler.sums.mean() == PARTS_OF_STEP


# ----------------------------------------------------------------------------- the advice


def costs(**milliseconds):
    seconds = {part: milliseconds.get(part, 0) / 1e3 for part in PARTS}
    return StepCosts(
        seconds=seconds,
        steps=10,
        images=32,
        made=Made(read=0.3, views=0.1, megapixels=0.2),
        num_workers=2,
        cpus=8,
        device="gpu",
        precision="bf16-mixed",
        native_bf16=True,
        opencv=True,
        synchronised=True,
    )


WAITING = costs(data=100, forward=40, backward=60)
FULL = evolve(WAITING, num_workers=7)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (WAITING, "waits 50 % of its time for data; raise num_workers from 2 to 4"),
        (evolve(WAITING, cpus=4), "raise num_workers from 2 to 3"),
        (evolve(WAITING, num_workers=0), "raise num_workers from 0 to 4"),
        (evolve(WAITING, num_workers=4, cpus=16), "raise num_workers from 4 to 5"),
        (evolve(FULL, made=Made(0.3, 0.1, 12.0)), "they have 12.0 megapixels, and reading takes"),
        (evolve(FULL, made=Made(0.1, 0.3, 12.0)), "use fewer or smaller views"),
        (FULL, "most of the loading is reading the files"),
        (evolve(FULL, made=Made(0.1, 0.3, 0.001)), "set in_memory=true if all"),
        (evolve(FULL, made=None), "though images are in memory"),
        (evolve(WAITING, num_workers=0, cpus=1), "no processor is free"),
        (costs(data=9, forward=40, backward=51), "Bound by the network (91 %"),
        (costs(views=50, forward=50), "transform_args.gaussian_blur"),
        (evolve(costs(views=50, forward=50), device="cpu", opencv=False), "install OpenCV"),
        (costs(views=50, forward=50, data=60), "Loader-bound"),
        (costs(between=50, forward=50), "callbacks.model_checkpoint.every_n_epochs"),
        (costs(transfer=50, forward=50), "transfer to the device (50 %"),
        (costs(rest=50, forward=50), "raise batch_size"),
        (costs(update=50, forward=50), "gradient_accumulation_steps"),
        (evolve(costs(forward=1), precision="32-true"), "set precision=bf16-mixed"),
        (evolve(costs(forward=1), device="cpu"), "use a GPU"),
    ],
)
def test_the_first_thing_to_change(found, expected):
    assert expected in advice(found)


def test_no_advice_raises_what_a_machine_lacks():
    text = advice(evolve(costs(forward=1), precision="32-true", native_bf16=False))
    assert "bf16" not in text


def test_the_table_names_all_parts_with_their_shares():
    table = costs(data=25, forward=50, backward=25).table()
    lines = table.splitlines()
    assert lines[1].split() == ["waiting", "for", "data", "25.00", "25.0"]
    assert "in 2 workers: read and decode" in lines[2]
    assert lines[2].split()[-1] == "300.00"
    assert lines[-2].split()[-2:] == ["100.00", "100.0"]
    assert "in 10 of 100 steps" in lines[-1]
    assert "waited" not in evolve(costs(), synchronised=False).table()


# ----------------------------------------------------------------------------- runs


@pytest.mark.slow
def test_a_run_is_profiled_and_its_numbers_stay_the_same(
    pretrain, short_run, read_metrics, tmp_path
):
    plain, profiled = (
        pretrain(**short_run(out=tmp_path / str(on), profile=on, in_memory=False, epochs=3))
        for on in (False, True)
    )
    losses = [
        [line["train_loss"] for line in read_metrics(run.folder)] for run in (plain, profiled)
    ]
    assert losses[0] == losses[1]
    written = json.loads((profiled.folder / "profile.json").read_text())
    assert written["steps"] == 9 - WARMUP
    # A hook that a new Lightning no longer reports would be a part without time.
    assert [part for part in PARTS if not written["milliseconds"][part] > 0] == []
    assert written["loader"]["megapixels"] == pytest.approx(24 * 20 / 1e6, abs=1e-3)
    assert written["loader"]["read_milliseconds"] > 0
    log = (profiled.folder / "train.log").read_text()
    assert "Mean cost of 6 steps of 8 images" in log
    assert written["advice"] in log
    total = sum(written["milliseconds"].values())
    assert profiled.metrics["profile/step_ms"] == pytest.approx(total, abs=0.01)
    assert not (plain.folder / "profile.json").exists()


class InterruptFifth(lightning.Callback):
    """Sends the signal of Ctrl-C before the fifth step."""

    def on_train_batch_end(self, trainer, *rest):
        if trainer.global_step == 4:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_run_is_profiled_and_the_rest_of_it_need_not_be(pretrain, short_run):
    stopping = {"log_every_n_steps": 1, "callbacks": [InterruptFifth()]}
    with pytest.raises(RunInterrupted):
        pretrain(**short_run(profile=True, trainer_args=stopping))
    out = short_run()["out"]
    written = json.loads((out / "profile.json").read_text())
    assert written["steps"] == 5 - WARMUP
    assert written["loader"] is None  # images in memory
    assert pretrain(**short_run(resume_interrupted=True)).stopped is None


def test_two_profilers_are_refused(pretrain, short_run):
    with pytest.raises(ConfigError, match=r"profile: got true beside trainer_args\.profiler="):
        pretrain(**short_run(profile=True, trainer_args={"profiler": "simple"}))


# ----------------------------------------------------------------------------- the loader


class FakeSource:
    """A source whose images of 40 x 30 pixels take two seconds, and planning one of them."""

    num_channels = 3

    def __init__(self, clock):
        self._clock = clock

    def load(self, index):
        self._clock.now += 2
        return torch.zeros(30, 40, 3, dtype=torch.uint8).numpy()

    def load_shrunk(self, index, least_scale):
        least_scale((300, 400))
        return self.load(index)


def test_planning_belongs_to_the_views_and_pixels_are_those_of_the_file(monkeypatch):
    from lightly_core.data import timing

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", clock)
    watch = timing.Stopwatch()
    source = timing.TimedSource(FakeSource(clock), watch)

    def plan(size):
        clock.now += 1
        return 0.1

    clock.now += 50  # an idle worker
    source.load_shrunk(0, plan)
    source.load(1)
    clock.now += 4  # views
    assert watch.take() == BatchTimes(read=4, views=5, images=2, pixels=300 * 400 + 30 * 40)
    clock.now += 50
    assert watch.take() == BatchTimes(read=0, views=0, images=0, pixels=0)


def test_a_timed_source_does_all_that_a_source_can_do():
    public = {name for name, value in vars(ImageSource).items() if callable(value)}
    inherited = {name for name in public - vars(TimedSource).keys() if not name.startswith("_")}
    assert inherited == set()

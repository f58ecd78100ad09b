"""How long a run takes, from its first steps."""

import logging
from types import SimpleNamespace

import pytest
import torch

from lightly_core.engine.callbacks import pace as callback
from lightly_core.engine.callbacks.pace import PaceCallback
from lightly_core.engine.plan.pace import Pace, about


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (40, "about 40 seconds"),
        (100, "about 1.7 minutes"),
        (1_800, "about 30 minutes"),
        (7_200, "about 2 hours"),
        (9_000, "about 2.5 hours"),
        (3 * 86_400, "about 3 days"),
    ],
)
def test_times_have_two_digits(seconds, expected):
    assert about(seconds) == expected


def test_the_text_has_steps_time_and_speed():
    pace = Pace(seconds=2.5, images=128, steps_per_epoch=14)
    assert pace.text(100_002) == "100,002 steps: about 2.9 days on this machine (51 images/s)"
    assert pace.text(10, resumed=True).startswith("10 more steps: about 25 seconds")
    # Two hours are 205.7 epochs of 35 seconds.
    assert pace.first_try() == "`epochs=200` is a good first try, about 1.9 hours"


def test_an_epoch_of_hours_is_the_first_try():
    pace = Pace(seconds=1.0, images=8, steps_per_epoch=10_000)
    assert pace.first_try() == "`epochs=1` is a good first try, about 2.8 hours"


class Steps:
    """Calls the callback after each step, with a clock that it sets."""

    def __init__(self, monkeypatch, *, device="cpu", total=100_000, auto=True, first=0, every=50):
        monkeypatch.setattr(callback, "_memory", lambda device: "")
        self.now = 0.0
        self.trainer = SimpleNamespace(global_step=first, is_global_zero=True)
        resolved = SimpleNamespace(
            log_every_n_steps=every, total_steps=total, steps_per_epoch=10, effective_batch_size=100
        )
        self.module = SimpleNamespace(device=torch.device(device), resolved=resolved)
        self.pace = PaceCallback(auto_epochs=auto, clock=lambda: self.now)

    def run(self, steps, seconds):
        self.pace.on_train_start(self.trainer, self.module)
        for index in range(steps):
            self.trainer.global_step += 1
            self.now += 60.0 if index < 3 else seconds  # the first compile
            self.pace.on_train_batch_end(self.trainer, self.module, None, None, index)


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO, logger="lightly_core")
    logging.getLogger("lightly_core").propagate = True
    return lambda: [record.getMessage() for record in caplog.records]


def test_the_first_steps_do_not_count_and_it_is_said_once(monkeypatch, messages):
    Steps(monkeypatch, total=1000).run(500, 0.5)
    assert messages() == ["1,000 steps: about 8.3 minutes on this machine (200 images/s)"]


def test_a_long_run_of_auto_gets_a_suggestion(monkeypatch, messages):
    Steps(monkeypatch, total=100_000).run(50, 1.0)
    (text,) = messages()
    assert text.endswith("; `epochs=700` is a good first try, about 1.9 hours")


@pytest.mark.parametrize(("auto", "total"), [(False, 100_000), (True, 10_000)])
def test_no_suggestion_for_a_chosen_or_a_short_run(monkeypatch, messages, auto, total):
    Steps(monkeypatch, total=total, auto=auto).run(50, 1.0)
    (text,) = messages()
    assert "first try" not in text


def test_on_a_gpu_time_is_read_only_where_metrics_are_logged(monkeypatch, messages):
    steps = Steps(monkeypatch, device="cuda", every=10, total=1000)
    steps.run(29, 0.5)
    assert messages() == []  # steps 10 to 29: 20 steps, but the device was last waited for at 20
    steps = Steps(monkeypatch, device="cuda", every=10, total=1000)
    steps.run(30, 0.5)
    assert messages() == ["1,000 steps: about 8.3 minutes on this machine (200 images/s)"]


def test_a_resumed_run_counts_the_steps_that_are_left(monkeypatch, messages):
    Steps(monkeypatch, first=900, total=1000).run(50, 0.5)
    assert messages() == ["100 more steps: about 50 seconds on this machine (200 images/s)"]


def test_very_short_steps_are_measured_for_seconds(monkeypatch, messages):
    Steps(monkeypatch).run(150, 0.01)
    assert messages() == []

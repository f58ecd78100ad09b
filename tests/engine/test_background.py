import signal
import threading
from concurrent.futures import wait

import pytest
import torch
from torch import nn

from lightly_core.engine.background import Background
from lightly_core.engine.snapshot import snapshot
from lightly_core.parts.files import save_torch


@pytest.fixture
def background():
    made = Background("test")
    yield made
    made.close()


@pytest.fixture
def gate():
    """An event that jobs wait for; it is set at the end, whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def test_jobs_run_one_after_another_while_the_caller_goes_on(background, gate):
    done = []
    background.submit(lambda: (gate.wait(10), done.append(1)))
    background.submit(lambda: done.append(2))
    assert done == []
    gate.set()
    background.wait()
    assert done == [1, 2]


def test_an_error_is_raised_once_and_what_depends_on_it_is_left_out(background, gate):
    def fail():
        gate.wait(10)
        raise OSError(28, "No space left on device")

    done = []
    background.submit(fail)
    background.submit(lambda: done.append("copied"))
    background.raise_failure()  # has not failed yet, and is not waited for
    gate.set()
    with pytest.raises(OSError, match="No space"):
        background.wait()
    assert done == []
    background.raise_failure()
    background.submit(lambda: done.append("next"))
    background.wait()
    assert done == ["next"]


def test_a_failure_is_noticed_without_waiting_for_it(background, gate):
    def fail():
        raise OSError("disk")

    background.submit(fail)
    wait(background._pending)
    background.submit(lambda: gate.wait(10))  # left out
    with pytest.raises(OSError, match="disk"):
        background.raise_failure()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer on Windows")
def test_a_signal_ends_the_waiting_and_not_the_job(background, gate):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    done = []
    background.submit(lambda: (gate.wait(10), done.append(1)))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            background.wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert done == []
    gate.set()
    background.wait()
    assert done == [1]


@pytest.fixture
def state():
    """The state of a network with tied weights, and of an AdamW that has taken a step."""
    network = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6))
    network[2].weight = network[0].weight
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 6)).square().sum().backward()
    optimizer.step()
    whole = torch.arange(10.0)
    return {
        "network": network.state_dict(),
        "optimizer": [optimizer.state_dict()],
        "views": (whole[2:5], whole.view(5, 2).T),
        "plain": {"name": "x", "list": [1, 2.5, None]},
    }


def test_a_snapshot_gives_the_same_file(state, tmp_path):
    save_torch(state, tmp_path / "direct.ckpt")
    save_torch(snapshot(state), tmp_path / "copied.ckpt")
    assert (tmp_path / "direct.ckpt").read_bytes() == (tmp_path / "copied.ckpt").read_bytes()


def test_a_snapshot_does_not_change_any_more(state):
    copied = snapshot(state)
    expected = state["network"]["0.weight"].clone()
    with torch.no_grad():
        state["network"]["0.weight"].zero_()
        state["optimizer"][0]["state"][0]["exp_avg"].fill_(7)
    state["plain"]["list"].append("more")
    assert torch.equal(copied["network"]["0.weight"], expected)
    assert not (copied["optimizer"][0]["state"][0]["exp_avg"] == 7).any()
    assert copied["plain"]["list"] == [1, 2.5, None]

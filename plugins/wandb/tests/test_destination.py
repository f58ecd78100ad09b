"""What is passed to W&B, which a stand-in takes the place of."""

import subprocess
from types import SimpleNamespace

import pytest

from lightly_core.engine.remote import Metrics
from lightly_core.errors import RunError
from lightly_wandb import destination
from lightly_wandb.config import WandbArgs
from lightly_wandb.destination import WandbDestination


class Run:
    """Takes rows, as W&B's run does: in the order of steps."""

    def __init__(self, folder):
        self.settings = SimpleNamespace(sync_file=folder / "run.wandb")
        self.url, self.dir, self.step, self.rows = "https://server/run", str(folder), 0, []

    def log(self, values, step):
        self.rows.append({**values, "step": step})
        self.step = step


@pytest.fixture
def asked(monkeypatch):
    """The timeouts with which the server was asked for an answer."""
    found = []
    monkeypatch.setattr(destination, "require_answer", found.append)
    return found


@pytest.fixture
def synced(monkeypatch):
    """The commands that were run; the first one fails."""
    commands = []

    def run(command, **_):
        commands.append(command[1:])
        return SimpleNamespace(returncode=len(commands) == 1, stderr="no such host", stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.fixture
def opened(tmp_path, monkeypatch, asked):
    """Open a destination; return it with its run."""
    run = Run(tmp_path)
    monkeypatch.setattr(WandbDestination, "_init", lambda self, run_id, resume: run)

    def opened(identity, **options):
        made = WandbDestination(WandbArgs(prefix="x/", **options), tmp_path)
        identity = made.open({"key": "0123456789abcdef", **identity})
        return made, run, identity

    return opened


def test_the_server_is_asked_for_an_answer_unless_the_run_is_offline(opened, asked):
    _, _, identity = opened({}, request_timeout=7.0, mode="online")
    assert identity == {"id": "0123456789ab", "address": "https://server/run", "file": "run.wandb"}
    assert asked == [7.0]
    opened({}, mode="offline")
    assert asked == [7.0]


def test_steps_that_the_server_has_are_left_out(opened):
    made, run, _ = opened({"id": "r1", "last_step": "10"}, mode="offline")
    run.step = 12
    for step in (0, 10, 11, 12, 20):
        made.send_metrics([Metrics(step=step, values={"loss": step / 10}, time=1_500 + step)])
    assert run.rows == [
        {"x/loss": 1.2, "_timestamp": 1.512, "step": 12},  # seconds
        {"x/loss": 2.0, "_timestamp": 1.52, "step": 20},
    ]


def test_a_continued_run_sends_what_an_earlier_part_could_not(opened, synced, tmp_path):
    (tmp_path / "part.wandb").touch()
    identity = {"id": "r1", "file": "part.wandb"}
    with pytest.raises(RunError, match=r"wandb sync .*part\.wandb` failed: no such host"):
        opened(identity, mode="online")
    for _ in range(2):  # the second time nothing is left
        opened(identity, mode="online")
    command = ["-m", "wandb", "sync", "--include-online", str(tmp_path / "part.wandb")]
    assert synced == [command, command]

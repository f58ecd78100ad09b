"""Errors of the system, torch and workers become sentences; others say whose code it was."""

import errno
import functools
import json
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing import synchronize
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch.utils.data import Dataset

from lightly_core.data.loader import Loader
from lightly_core.errors import ConfigError, RunError
from lightly_core.failures import blame, explain, explained
from lightly_core.parts.files import save_torch

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")


def raised_by(action):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any kind
        action()
    return caught.value


class Images(Dataset):
    """Four numbers; what happens at one of them is `action`."""

    def __init__(self, action):
        self.action = action

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.action(index)
        return index


def do_nothing(index):
    pass


def kill_self(index):
    os.kill(os.getpid(), signal.SIGKILL)


def crash(index):
    os.kill(os.getpid(), signal.SIGSEGV)


def be_late(index):
    time.sleep(60)


# ------------------------------------------------------------------ what the system says


def write_text():
    with open("/dev/full", "w") as file:
        file.write("text")


@on_linux
@pytest.mark.parametrize(
    "action",
    [
        write_text,
        # The smaller one raised nothing when torch 2.5 was given the path.
        lambda: save_torch(torch.zeros(3), Path("/dev/full")),
        lambda: save_torch(torch.zeros(3_000_000), Path("/dev/full")),
        lambda: torch.save(torch.zeros(3_000_000), "/dev/full"),
    ],
    ids=["text", "torch", "torch-large", "torch-to-path"],
)
def test_a_full_disk_is_told_whoever_meets_it(action, tmp_path):
    text = explain(raised_by(action), tmp_path)
    assert text.startswith(f"'{tmp_path}': ")
    assert "disk is full" in text
    assert "free some space" in text


def test_a_full_disk_is_told_where_only_words_are_left(tmp_path):
    error = SafetensorError("I/O error: No space left on device (os error 28)")
    assert explain(error, tmp_path).startswith(f"'{tmp_path}': the disk is full")


@pytest.mark.parametrize(
    ("number", "happened"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "disk or network share failed"),
        (errno.ENAMETOOLONG, "name is too long"),
    ],
)
def test_errors_with_a_number_name_the_file(number, happened):
    text = explain(OSError(number, "as the system says", "/data/run/last.ckpt"))
    assert text.startswith("'/data/run/last.ckpt': ")
    assert happened in text


def test_too_many_open_files_is_no_matter_of_the_folder(tmp_path):
    text = explain(OSError(errno.EMFILE, "Too many open files"), tmp_path)
    assert text.startswith("too many open files; raise the limit")


def test_a_semaphore_that_is_refused_is_no_matter_of_the_folder(monkeypatch, tmp_path):
    def refused(*arguments):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(synchronize._multiprocessing, "SemLock", refused)
    with pytest.raises(PermissionError) as caught:
        multiprocessing.get_context("spawn").Lock()
    known = explain(caught.value, tmp_path)
    assert "/dev/shm" in known
    assert str(tmp_path) not in known


def test_what_an_error_was_raised_from_is_looked_at():
    def wrapped():
        try:
            raise OSError(errno.ENOSPC, "no space", "/a")
        except OSError as error:
            raise RuntimeError("saving failed") from error

    assert explain(raised_by(wrapped)).startswith("'/a': the disk is full")
    assert explain(RuntimeError("saving failed")) is None


def test_devices_without_memory():
    text = explain(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"))
    assert "Tried to allocate 2 GiB Try a smaller batch_size" in text


# ------------------------------------------------------------------ what workers leave behind


@pytest.mark.processes
@pytest.mark.parametrize(
    ("action", "words"),
    [
        (kill_self, ("the system killed a loader's worker", "lower num_workers")),
        (crash, ("crashed with 'Segmentation fault'", "set num_workers=0 to see at which image")),
        (be_late, ("loader_args.timeout=1", "raise it")),
    ],
)
def test_a_worker_that_is_gone_or_stuck(action, words):
    timeout = 1 if action is be_late else 0
    next(iter(Loader(Images(do_nothing), num_workers=1)))  # torch sets its handler of SIGCHLD,
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # and Lightning removes it after a training
    error = raised_by(lambda: next(iter(Loader(Images(action), num_workers=1, timeout=timeout))))
    text = explain(error)
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize("pids", ["(pid(s) 7, 8)", "(pid 7)"])
def test_a_worker_that_has_ended_without_a_signal(pids):
    text = explain(RuntimeError(f"DataLoader worker {pids} exited unexpectedly with exit code 1."))
    assert "a loader's worker (process 7" in text
    assert "lower num_workers" in text


def test_shared_memory_that_is_too_small():
    told = (
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
        "dataloader's workers are out of shared memory. Please try to raise your limit.",
        "unable to write to file </torch_7_1>: No space left on device (28)",
    )
    for text in told:
        assert "--shm-size" in explain(RuntimeError(text))


# ------------------------------------------------------------------ in a run


def test_what_is_kept_is_named(tmp_path):
    kept = tmp_path / "last.ckpt"
    error = OSError(errno.ENOSPC, "no space")
    with pytest.raises(RunError) as told, explained(tmp_path, kept):
        raise error
    assert "is kept" not in str(told.value)
    kept.touch()
    with pytest.raises(RunError, match="is kept: resume_int") as told, explained(tmp_path, kept):
        raise error
    assert str(kept) in str(told.value)


@pytest.mark.parametrize("error", [ConfigError("wrong"), ValueError("unknown")])
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, explained():
        raise error
    assert caught.value is error


# ------------------------------------------------------------------ errors that nobody expects


def made_by(package, file, body):
    """Return a function of a module of this name and file, as if it were installed there."""
    scope = {"__name__": f"{package}.module", "json": json}
    exec(compile(f"def act(inner=None):\n    {body}", file, "exec"), scope)
    return scope["act"]


LIBRARY = os.path.join(os.path.dirname(torch.__file__), "module.py")


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([("lightly_core", "/x/lightly_core/a.py")], "this is not your mistake"),
        (
            [("lightly_core", "/x/lightly_core/a.py"), ("torch", LIBRARY)],
            "raised in the package torch, called by lightly-core",
        ),
        (
            [("lightly_core", "/x/lightly_core/a.py"), ("mine", "/home/me/net.py")],
            "raised in /home/me/net.py, line 2, which is not part of lightly-core",
        ),
        (
            [("mine", "/home/me/net.py"), ("torch", LIBRARY)],
            "raised in the package torch, called by /home/me/net.py, line 2, which",
        ),
        (
            [("lightly_core", "/x/lightly_core/a.py"), ("lightly_acme", "/x/lightly_acme/b.py")],
            "raised in the plugin package lightly_acme (/x/lightly_acme/b.py, line 2)",
        ),
    ],
)
def test_an_unknown_error_says_whose_code_raised_it(calls, expected):
    action = None
    for package, file in reversed(calls):
        body = "raise KeyError('x')" if action is None else "inner()"
        made, inner = made_by(package, file, body), action
        action = functools.partial(made, inner)  # has no frame of its own
    error = raised_by(action)
    assert blame(error, frozenset({"lightly_acme"})).startswith(expected)

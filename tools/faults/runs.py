"""Short runs in separate processes that can be killed, and the comparison of their results.

Processes are forked from this one, which has already imported everything, so a run takes a second.
"""

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import define
from PIL import Image

import lightly_core
from lightly_core.errors import LightlyError, RunInterrupted
from lightly_core.testing.models import TinyConv

# Small settings of every method, and the comparison of states, are shared with the tests.
sys.path.append(str(Path(__file__).parents[2] / "tests" / "helpers"))
from run_states import differing, state_of  # noqa: F401, imported from here by the other modules
from small_methods import small_run

#: Seconds after which a run counts as hanging.
LIMIT = 240.0
SMALL_HEADS = {"hidden_dim": 32, "output_dim": 16}
METHODS: dict[str, dict[str, Any]] = {
    "mocov2": {"method_args": {**SMALL_HEADS, "queue_size": 24}},
    "dino": {
        "method_args": {**SMALL_HEADS, "bottleneck_dim": 16},
        "transform_args": {"image_size": 32, "local_view": {"view_size": 16, "num_views": 2}},
    },
    "swavqueue": {
        "method_args": {
            **SMALL_HEADS,
            "num_prototypes": 12,
            "queue_size": 13,
            "queue_start": 0,
            "freeze_prototypes_steps": 0,
        }
    },
}


@define(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        fault: The fault.
        how: How it was caused.
        tries: Number of tries.
        failed: Number of tries whose result was not `expected`.
        expected: Expected result.
        note: Figures, or the first failure.
    """

    fault: str
    how: str
    tries: int
    failed: int
    expected: str
    note: str = ""


@define(frozen=True)
class End:
    """How a process ended.

    Attributes:
        code: Exit status, negative for a signal: 0 success, 1 a `LightlyError`, 3 any other error,
            130 interrupted. None: the process did not end in time.
        text: Output of the process.
    """

    code: int | None
    text: str

    @property
    def refused(self) -> bool:
        """Whether the process ended with a `LightlyError`."""
        return self.code == 1


def make_images(folder: Path, count: int = 48) -> Path:
    """Write `count` images of noise with 24 x 20 pixels, and return the folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


def settings_of(
    out: Path, images: Path, method: str = "mocov2", **changes: object
) -> dict[str, Any]:
    """Return the settings of a run of 18 batches."""
    torch.manual_seed(0)
    values = {
        "out": out,
        "data": images,
        "model": TinyConv(),
        "method": method,
        "transform_args": {"image_size": 32},
        "epochs": 3,
        "batch_size": 8,
        "num_workers": 0,
        "precision": "32-true",
        "accelerator": "cpu",
        "loggers": {"tensorboard": None},
        "callbacks": {
            "signals": None,
            "model_checkpoint": {"every_n_train_steps": 1, "min_seconds_between": 0},
        },
    }
    own = METHODS[method] if method in METHODS else small_run(method)
    return {**values, **own, **changes}


def start(log: Path, function: Callable[..., object], *args: object, **options: object) -> int:
    """Call a function in a forked process, and return its process ID. Output goes to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    number = os.fork()
    if number:
        return number
    code = 3
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        function(*args, **options)
        code = 0
    except RunInterrupted as error:
        print(error)
        code = 130
    except LightlyError as error:
        print(f"{type(error).__name__}: {error}")
        code = 1
    except BaseException as error:  # the process ends here, whatever happened
        import traceback

        traceback.print_exc()
        print(f"{type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(number: int, log: Path, seconds: float = LIMIT) -> End:
    """Wait until a process has ended. Kill it after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return End(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))
        time.sleep(0.01)
    kill(number)
    return End(None, log.read_text(errors="replace"))


def kill(number: int) -> None:
    """Send SIGKILL to a process, as the kernel does when memory is short."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


def pretrain(out: Path, images: Path, method: str = "mocov2", **changes: object) -> None:
    """Run in this process."""
    lightly_core.pretrain(**settings_of(out, images, method, **changes))


def run(log: Path, *args: object, seconds: float = LIMIT, **changes: object) -> End:
    """Run in a separate process and wait for its end."""
    return wait(start(log, pretrain, *args, **changes), log, seconds)


def leftovers(out: Path) -> list[str]:
    """Return the partly written files of a run that ended."""
    return [str(path.relative_to(out)) for path in out.rglob("*.writing")]


RANDOM = random.Random(0)

"""Starts the processes of a run in several ways, and compares what two runs have left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from attrs import define

from tools.faults.runs import kill, start
from tools.scale._one_run import NOTE, one_run

#: Seconds after which a run counts as hanging.
LIMIT = 300.0
MODULE = ["-m", "tools.scale._one_run"]
#: SimCLR, whose loss takes the whole batch together, without batch norms.
SIMCLR = {
    "method": "simclr",
    "method_args": {"hidden_dim": 8, "output_dim": 4, "batch_norm": False},
    "transform_args": {"image_size": 16},
}
ROOT = Path(__file__).parents[2]


@define(frozen=True)
class End:
    """How the processes of a run ended.

    Attributes:
        codes: Exit codes of the processes that were started here.
        text: Their output together.
        seconds: From the note of a failing process, or from the start, to the end of all.
    """

    codes: list[int]
    text: str
    seconds: float


def settings(folder: Path, out: str = "out", **changes: object) -> str:
    """Return the argument of `tools.scale._one_run` for a run in a folder with ``images``."""
    values = {"out": str(folder / out), "images": str(folder / "images"), **SIMCLR, **changes}
    return json.dumps(values)


def alone(argument: str) -> list[str]:
    """Return the command of a run that starts its own processes, if it has several devices."""
    return [sys.executable, *MODULE, argument]


def torchrun(argument: str, *options: str) -> list[str]:
    """Return the command of one torchrun."""
    return [sys.executable, "-m", "torch.distributed.run", *options, *MODULE, argument]


def run(
    folder: Path,
    commands: Sequence[Sequence[str]],
    variables: Sequence[Mapping[str, str]] = ({},),
    limit: float = LIMIT,
) -> End:
    """Run commands at the same time until all have ended, and the processes that they started.

    A command that was stopped is continued when all others have ended, since it cannot end by
    itself.

    Args:
        folder: Folder for their output. The commands of all processes name it.
        commands: Their words.
        variables: Environment variables of each, or of all.
        limit: Seconds after which they are killed.

    Raises:
        AssertionError: They did not end in time.
    """
    (folder / NOTE).unlink(missing_ok=True)
    begun = time.time()
    variables = [*variables] * (len(commands) if len(variables) == 1 else 1)
    logs = [folder / f"log{number}" for number in range(len(commands))]
    processes = []
    for command, more, log in zip(commands, variables, logs, strict=True):
        with log.open("w") as file:
            environment = {**os.environ, "PYTHONPATH": _search_path(), **more}
            processes.append(
                subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
                )
            )
    ended, late = _wait(folder, processes, begun + limit)
    text = "\n".join(log.read_text(errors="replace") for log in logs)
    assert not late, f"not ended after {limit:.0f} s: {text[-2000:]}"
    noted = folder / NOTE
    since = float(noted.read_text()) if noted.exists() else begun
    return End([process.returncode for process in processes], text, ended - since)


def forked(folder: Path, argument: str, variables: Sequence[Mapping[str, str]] = ({},)) -> End:
    """Run the processes of one run as forks of this one, which has imported everything.

    Use it where the launcher does not matter: a run takes seconds less than with `run`.

    Args:
        folder: Folder for their output.
        argument: Argument of `tools.scale._one_run`.
        variables: Environment variables of each process, which a launcher would set.

    Returns:
        Its codes are -9 for processes that were killed. If one is, the others are too.

    Raises:
        AssertionError: They did not end in time.
    """
    begun = time.time()
    logs = [folder / f"log{number}" for number in range(len(variables))]
    running = {
        start(log, _with_variables, more, argument): number
        for number, (more, log) in enumerate(zip(variables, logs, strict=True))
    }
    codes = [0] * len(logs)
    killed = False
    while running and not killed and time.time() < begun + LIMIT:
        for process, number in list(running.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                del running[process]
                codes[number] = os.waitstatus_to_exitcode(status)
                killed |= codes[number] == -signal.SIGKILL
        time.sleep(0.02)
    for process, number in running.items():
        kill(process)
        codes[number] = -signal.SIGKILL
    text = "\n".join(log.read_text(errors="replace") for log in logs)
    assert killed or not running, f"not ended after {LIMIT:.0f} s: {text[-2000:]}"
    return End(codes, text, time.time() - begun)


def _with_variables(variables: Mapping[str, str], argument: str) -> None:
    os.environ.update(variables)
    one_run(argument)


def ranks(processes: int) -> list[dict[str, str]]:
    """Return the variables of each process of a run, as a cluster without a launcher sets them."""
    if processes == 1:
        return [{}]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    size = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [
        {**place, **size, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)
    ]


def _wait(
    folder: Path, processes: Sequence[subprocess.Popen[bytes]], until: float
) -> tuple[float, bool]:
    """Wait for processes; return when all had ended that can, and whether some had to be killed."""
    ended: float | None = None
    while time.time() < until:
        running = [process for process in processes if process.poll() is None]
        if not _is_used(folder):
            ended = ended or time.time()
            if not running:
                return ended, False
            for process in running:
                process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
    for process in processes:
        process.kill()
        process.wait()
    return time.time(), True


def _is_used(folder: Path) -> bool:
    """Return whether a process runs whose command names the folder, and is not stopped.

    Its parent may have ended before it.
    """
    for found in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            state = (found / "stat").read_text().rpartition(")")[2].split()[0]
            if state not in "TZX" and os.fsencode(folder) in (found / "cmdline").read_bytes():
                return True
    return False


def srun_variables(rank: int, num_nodes: int, per_node: int) -> dict[str, str]:
    """Return what srun sets for a task, with all nodes on this machine."""
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(num_nodes * per_node),
        "SLURM_NNODES": str(num_nodes),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank % per_node),
        "SLURM_NODEID": str(rank // per_node),
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_JOB_NODELIST": "127.0.0.1",
    }


def free_port() -> int:
    """Return a port that no process uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def done(end: End) -> End:
    """Check that a run has finished."""
    if any(end.codes):
        errors = [line for line in end.text.splitlines() if "rror: " in line]
        first = "\n".join(errors[:10])
        raise AssertionError(f"exit codes {end.codes}: {first}\n{end.text[-2000:]}")
    return end


def content(out: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a run."""
    data: dict[str, Any] = json.loads((out / name).read_text())
    return data


def largest_difference(one: Path, other: Path) -> float:
    """Return the largest difference of the numbers that two runs have left.

    Compared are the weights, the exported file and the optimizer's state.

    Raises:
        AssertionError: The runs have other tensors, or other numbers of steps.
    """
    from run_states import state_of  # tests/helpers

    states = [state_of(out) for out in (one, other)]
    assert states[0].keys() == states[1].keys(), states[0].keys() ^ states[1].keys()
    largest = 0.0
    for name, value in states[0].items():
        against = states[1][name]
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
            assert value.shape == against.shape, name
            largest = max(largest, float((value - against).abs().max()))
        elif not isinstance(value, (torch.Tensor, float)):
            assert value == against, f"{name}: {value} and {against}"
    return largest


def _search_path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, sys.path)])

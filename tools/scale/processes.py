"""Runs of several processes: launchers, ends of processes, resumes with another number of them."""

import os
import re
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tools.faults.runs import make_images
from tools.scale._one_run import PAUSE
from tools.scale.check import Check
from tools.scale.starting import (
    End,
    alone,
    content,
    done,
    forked,
    free_port,
    largest_difference,
    ranks,
    run,
    settings,
    srun_variables,
    torchrun,
)

#: Largest difference that rounding may cause after 18 steps.
_ROUNDING = 2e-5
_DDP = {"devices": 2, "strategy": "ddp"}
#: Seconds in which all processes have to end after one has failed.
_BOUND = 60.0
#: `process_timeout` of the checks in which a process hangs.
_TIMEOUT = 8


# --------------------------------------------------------------------------- launchers


def _two_agents(folder: Path) -> str:
    """Two torchruns on this machine, each with two processes of its own."""
    make_images(folder / "images")
    done(forked(folder, settings(folder, "whole", batch_size=8)))
    argument = settings(folder, batch_size=8)
    port = free_port()
    options = ["--nnodes=2", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-id=1"]
    options.append(f"--rdzv-endpoint=127.0.0.1:{port}")
    done(run(folder, [torchrun(argument, *options)] * 2))
    return _four_processes(folder)


def _two_static_agents(folder: Path) -> str:
    make_images(folder / "images")
    done(forked(folder, settings(folder, "whole", batch_size=8)))
    argument = settings(folder, batch_size=8)
    options = ["--nnodes=2", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    options.append(f"--master-port={free_port()}")
    done(run(folder, [torchrun(argument, *options, f"--node-rank={rank}") for rank in range(2)]))
    return _four_processes(folder)


def _srun(folder: Path) -> str:
    """Tasks with the variables of srun, as on two nodes with two tasks each."""
    make_images(folder / "images")
    done(forked(folder, settings(folder, "whole", batch_size=8)))
    variables = [srun_variables(rank, num_nodes=2, per_node=2) for rank in range(4)]
    done(forked(folder, settings(folder, batch_size=8), variables))
    return _four_processes(folder)


def _four_processes(folder: Path) -> str:
    derived = content(folder / "out", "config.json")["derived"]
    assert (derived["world_size"], derived["local_devices"]) == (4, 2), derived
    return _equal(folder / "whole", folder / "out")


# --------------------------------------------------------------------------- ends of processes


def _launched(folder: Path, launcher: str, **changes: object) -> End:
    """Run two processes by a launcher until they have ended."""
    make_images(folder / "images")
    if launcher == "torchrun":
        command = torchrun(settings(folder, **changes), "--nproc-per-node=2")
    else:
        command = alone(settings(folder, **_DDP, **changes))
    return run(folder, [command])


def _end_is_named(
    folder: Path, launcher: str, fault: dict[str, Any], words: Sequence[str], **changes: object
) -> str:
    """Let one process end or hang, and look at what the others say and record."""
    end = _launched(folder, launcher, fault={"step": 4, **fault}, **changes)
    assert any(end.codes), end.text[-2000:]
    assert end.seconds < _BOUND, f"ended after {end.seconds:.0f} s"
    named = [f"rank {fault['rank']}", *words]
    said = end.text
    if fault["kind"] == "raise":
        # torchrun ends the others at once. Only torch's "[rank0]" then names the one that failed.
        said = re.sub(r"\[rank(\d+)\]", r"[rank \1]", said)
    missing = [word for word in named if word not in said]
    assert not missing, f"not said: {missing}: {end.text[-3000:]}"
    status = content(folder / "out", "status.json")
    assert status["state"] == "failed", status
    missing = [word for word in named if word not in status["error"]]
    if fault == {"kind": "raise", "rank": 0}:  # its own error, without its rank
        missing = [word for word in words if word not in status["error"]]
    assert not missing, f"not recorded: {missing}: {status['error']}"
    return f"all ended after {end.seconds:.0f} s: {status['error'].splitlines()[0][:110]}"


def _ends() -> list[Check]:
    """Return the checks of each way to end, rank and launcher."""
    kinds: dict[str, tuple[dict[str, Any], list[str], dict[str, Any]]] = {
        "SIGKILL": ({"kind": "kill"}, [], {}),
        "an error": ({"kind": "raise"}, ["fails on purpose"], {}),
        "an endless loop": (
            {"kind": "hang"},
            ["no process has made progress", "wait_for_ever"],
            {"process_timeout": _TIMEOUT},
        ),
        "SIGSTOP": ({"kind": "stop"}, ["no sign of life"], {"process_timeout": _TIMEOUT}),
    }
    return [
        Check(
            f"{kind} of rank {rank}, {launcher}",
            partial(
                _end_is_named,
                launcher=launcher,
                fault={**fault, "rank": rank},
                words=words,
                **changes,
            ),
        )
        for kind, (fault, words, changes) in kinds.items()
        for launcher in ("own launcher", "torchrun")
        for rank in (0, 1)
    ]


def _suspended(folder: Path) -> str:
    """Stop all processes for longer than one may be silent, as SLURM suspends a job."""
    make_images(folder / "images")
    done(forked(folder, settings(folder, "whole")))
    changes = {"process_timeout": _TIMEOUT, "fault": {"kind": "pause", "step": 4}}
    end = done(forked(folder, settings(folder, **changes), ranks(2)))
    assert end.seconds > PAUSE > _TIMEOUT, end.seconds
    equal = _equal(folder / "whole", folder / "out")
    return f"stopped for {PAUSE} s, silent for {_TIMEOUT} s at most: {equal}"


# --------------------------------------------------------------------------- resumes


def _resumed(folder: Path, first: int, then: int, **changes: object) -> str:
    """Stop a run of some processes after four steps, and let others finish it."""
    make_images(folder / "images")
    changes = {"batch_size": 12, **changes}
    done(forked(folder, settings(folder, "whole", **changes)))
    fault = {"kind": "SIGTERM", "rank": 0, "step": 4}
    end = forked(folder, settings(folder, **changes, fault=fault), ranks(first))
    assert end.codes == [130] * first, end.text[-2000:]
    again = settings(folder, **changes, resume_interrupted=True)
    done(forked(folder, again, ranks(then)))
    return _equal(folder / "whole", folder / "out")


def _uneven(folder: Path) -> str:
    make_images(folder / "images")
    fault = {"kind": "SIGTERM", "rank": 0, "step": 4}
    end = forked(folder, settings(folder, fault=fault), ranks(2))
    assert end.codes == [130] * 2, end.text[-2000:]
    end = forked(folder, settings(folder, resume_interrupted=True), ranks(3))
    line = "cannot be divided equally among 3 devices"
    assert end.codes == [1] * 3, end.text[-2000:]
    assert line in end.text, end.text[-2000:]
    return end.text[end.text.index("config.batch_size") :].splitlines()[0]


def _equal(one: Path, other: Path) -> str:
    largest = largest_difference(one, other)
    assert largest < _ROUNDING, f"the largest difference is {largest:.1e}"
    return f"largest difference {largest:.1e}"


# --------------------------------------------------------------------------- SLURM


def _stopped_job(folder: Path, name: str, array: bool) -> list[dict[str, str]]:
    """Stop a job of two tasks by a signal to the second one; return the variables of both."""
    make_images(folder / "images")
    scontrol = folder / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    job = {"PATH": os.pathsep.join([str(scontrol.parent), os.environ["PATH"]])}
    if array:
        job |= {"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3"}
    variables = [{**srun_variables(rank, 1, 2), **job} for rank in range(2)]
    fault = {"kind": name, "rank": 1, "step": 4}
    end = forked(folder, settings(folder, requeue=True, fault=fault), variables)
    assert end.codes == [130, 130], end.text[-2000:]
    return variables


def _requeued(folder: Path, name: str, array: bool) -> str:
    """Start a stopped job again as SLURM does. It resumes without a further setting."""
    variables = _stopped_job(folder, name, array)
    calls = (folder / "calls").read_text().splitlines()
    assert calls == ["requeue 5_3" if array else "requeue 7"], calls
    done(forked(folder, settings(folder, "whole")))
    again = [{**one, "SLURM_RESTART_COUNT": "1"} for one in variables]
    done(forked(folder, settings(folder, requeue=True), again))
    return f"{calls[0]}; {_equal(folder / 'whole', folder / 'out')}"


def _not_requeued(folder: Path) -> str:
    variables = _stopped_job(folder, "SIGINT", array=False)
    assert not (folder / "calls").exists(), (folder / "calls").read_text()
    return f"{len(variables)} tasks ended, scontrol was not called"


CHECKS = (
    Check("torchrun, 2 agents with 2 processes each, c10d", _two_agents),
    Check("torchrun, 2 agents with 2 processes each, static", _two_static_agents),
    Check("srun's variables, 2 nodes with 2 tasks each", _srun),
    *_ends(),
    Check("all processes are suspended, and go on", _suspended),
    *(
        Check(
            f"resume with {then} processes, was {first}", partial(_resumed, first=first, then=then)
        )
        for first, then in ((1, 2), (2, 1), (2, 3), (3, 2))
    ),
    Check("resume with 3 processes, was 2, a batch that 3 cannot share", _uneven),
    Check("SIGUSR1 in a job of SLURM", partial(_requeued, name="SIGUSR1", array=False)),
    Check("SIGTERM in a job array of SLURM", partial(_requeued, name="SIGTERM", array=True)),
    Check("Ctrl-C in a job of SLURM", _not_requeued),
)

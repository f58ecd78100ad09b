"""An imitation of SLURM: `sbatch`, `srun`, `sacct` and `scancel` run jobs on this machine.

It runs the job scripts as they are. As SLURM does, it sends signals to all processes of a job.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = """\
#!{python}
import os, re, signal, subprocess, sys, time
from pathlib import Path
folder, command = Path({folder!r}), Path(sys.argv[0]).name
arguments = sys.argv[1:]

def sbatch(script):
    text = Path(script).read_text()
    number = 1 + len(list(folder.glob("*.sh")))
    (folder / f"{{number}}.sh").write_text(text)
    found = re.search(r"--array=0-(\\d+)", text)
    for index in range(int(found[1]) + 1) if found else [None]:
        name = str(number) if index is None else f"{{number}}_{{index}}"
        place = {{"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(index)}}
        start(name, {{"SLURM_JOB_ID": str(number), **({{}} if index is None else place)}})
    print(f"Submitted batch job {{number}}")

def start(name, variables):
    log = open(folder / f"{{name}}.log", "ab")
    script = folder / (name.partition("_")[0] + ".sh")
    clean = {{k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}}
    more = {{"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "IMITATED": name}}
    process = subprocess.Popen(
        ["bash", str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={{**clean, **variables, **more}}, start_new_session=True)
    (folder / f"{{name}}.job").write_text(str(process.pid))

def srun(*words):
    words = list(words)
    while words[0].startswith("--"):
        words.pop(0) if words[0] == "--unbuffered" else [words.pop(0), words.pop(0)]
    os.execvp(words[0], words)

def processes(name):
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"IMITATED={{name}}\\0".encode() in (path / "environ").read_bytes() + b"\\0":
                yield int(path.name)
        except OSError:
            continue

def sacct(*words):
    print("JobID|State|NodeList")
    for job in sorted(folder.glob("*.job")):
        state = "RUNNING" if any(processes(job.stem)) else "COMPLETED"
        if (folder / f"{{job.stem}}.cancelled").exists() and state != "RUNNING":
            state = "CANCELLED by 0"
        print(f"{{job.stem}}|{{state}}|here")

def scancel(*words):
    number = signal.SIGKILL
    for word in words:
        if word == "--state=PENDING":
            return  # no job waits here
        if word.startswith("--signal="):
            number = getattr(signal, "SIG" + word[9:])
    for name in words:
        if not name.startswith("--"):
            if number == signal.SIGKILL:
                (folder / f"{{name}}.cancelled").touch()
            for pid in processes(name):
                if "bash" not in Path(f"/proc/{{pid}}/comm").read_text():  # steps only
                    os.kill(pid, number)

globals()[command](*arguments)
"""


class Imitation:
    """The imitation in a folder.

    Args:
        folder: Its jobs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def scripts(self) -> list[str]:
        """Return the job scripts in the order in which they were submitted."""
        files = sorted(self._folder.glob("*.sh"), key=lambda path: int(path.stem))
        return [path.read_text() for path in files]

    def signal_job_of(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to all processes of the job that a process belongs to, but its shell."""
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        (name,) = (text[9:].decode() for text in variables if text.startswith(b"IMITATED="))
        os.system(f"scancel --signal={number.name[3:]} {name}")


@contextmanager
def on_path(folder: Path) -> Iterator[Imitation]:
    """Put the commands on the path."""
    folder.mkdir(parents=True)
    commands = folder / "bin"
    commands.mkdir()
    for name in ("sbatch", "srun", "sacct", "scancel"):
        text = _PROGRAM.format(python=sys.executable, folder=str(folder))
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{commands}{os.pathsep}{before}"
    try:
        yield Imitation(folder)
    finally:
        os.environ["PATH"] = before

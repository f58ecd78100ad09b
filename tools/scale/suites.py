"""Suites on clusters: Ray with several machines, and SLURM's commands as they are in `_slurm`."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightly_core.contracts import Launcher, SuiteInfo
from lightly_core.testing import launcher_checks, plugin_checks
from tools.scale import _slurm
from tools.scale.check import Check

_SUITE = """
name = "cluster"
data.train = "builtin:digits"

[run]
model = "timm/test_resnet"
num_workers = 0
batch_size = 128
epochs = 6
accelerator = "cpu"
trainer_args.limit_train_batches = 3
transform_args.image_size = 16
callbacks.knn.every_n_epochs = 6
callbacks.signals = false
loggers.tensorboard = false

[evaluate]
knn = { k = 5 }
linear = false

[[rows]]
method = "simclr"

[[rows]]
method = "byol"
"""
#: Columns that do not depend on where and in how many sessions a row ran.
_COLUMNS = ("State", "Epochs", "Batch Size", "kNN Top 1", "kNN Top 1, untrained")
_SECONDS = 900.0


class _Command:
    """A suite that runs in a process of its own."""

    def __init__(self, folder: Path, out: str, *words: str) -> None:
        (folder / "suite.toml").write_text(_SUITE)
        self.out = folder / out
        self._log = folder / f"{out}.log"
        command = [sys.executable, "-m", "lightly_core.cli", "benchmark", "suite.toml"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"out={self.out}", *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self) -> tuple[int, str]:
        """Wait for its end. Return its exit code and what it said."""
        try:
            code = self.process.wait(_SECONDS)
        finally:
            self.process.kill()
        return code, self._log.read_text()

    def expect(self, code: int) -> str:
        """Wait for its end with an exit code. Return what it said."""
        found, said = self.end()
        assert found == code, f"code {found}, expected {code}:\n{said[-3000:]}"
        return said

    def wait_for(self, what: str, look: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Wait until `look` returns something true, and return it."""
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if found := look():
                return found
            assert self.process.poll() is None, f"ended before {what}:\n{self._log.read_text()}"
            time.sleep(0.1)
        raise AssertionError(f"no {what} in {_SECONDS:.0f} s:\n{self._log.read_text()}")

    def row_with_checkpoint(self, *names: str) -> str:
        """Wait until a row has a checkpoint and has not been trained. Return its name."""

        def look() -> str | None:
            for name in names:
                row = self.out / name
                saved = (row / "run/checkpoints/last.ckpt").is_file()
                if saved and not (row / "trained.json").is_file():
                    return name
            return None

        return str(self.wait_for(f"checkpoint of {' or '.join(names)}", look))

    def table(self) -> dict[str, list[str]]:
        """Return the columns of each row that do not depend on the machine."""
        with (self.out / "results.csv").open(newline="") as file:
            return {row["Model"]: [row[name] for name in _COLUMNS] for row in csv.DictReader(file)}

    def sessions(self, name: str) -> int:
        """Return in how many sessions a row was trained, without those that were killed."""
        return len(json.loads((self.out / name / "sessions.json").read_text()))


@functools.cache
def _local() -> dict[str, list[str]]:
    """Return the table of the suite on this machine. It runs once."""
    with tempfile.TemporaryDirectory() as folder:
        command = _Command(Path(folder), "local")
        command.expect(0)
        return command.table()


def _same(found: dict[str, list[str]]) -> None:
    assert found == _local(), f"{found}, with launcher=local {_local()}"


def _run_checks(name: str, build: Callable[[SuiteInfo], Launcher], folder: Path) -> str:
    checks = [*plugin_checks(name), *launcher_checks(build, folder)]
    for check in checks:
        check()
    return f"{len(checks)} checks pass"


# --------------------------------------------------------------------------- Ray


@contextmanager
def _ray_cluster(*, machines: int) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    niceness = "RAY_worker_niceness"  # other suites beside it have no lower priority either
    os.environ[niceness] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(machines - 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def _ray_kit(folder: Path) -> str:
    from lightly_ray.config import RayArgs
    from lightly_ray.launcher import RayLauncher

    with _ray_cluster(machines=1) as cluster:
        options = RayArgs(address=cluster.address)
        return _run_checks("ray", lambda suite: RayLauncher(options, suite), folder)


def _ray_machine_lost(folder: Path) -> str:
    with _ray_cluster(machines=2) as cluster:
        words = ("launcher=ray", f"launcher_args.address={cluster.address}")
        command = _Command(folder, "ray", *words)
        (other,) = (node for node in cluster.list_all_nodes() if not node.is_head())
        raylet = other.all_processes["raylet"][0].process.pid

        def on_other() -> tuple[str, int] | None:
            for name in ("simclr", "byol"):
                pid = _owner(command.out / name)
                if pid is not None and raylet in list(_ancestors(pid)):
                    return name, pid
            return None

        name, row = command.wait_for("row on the second machine", on_other)
        command.row_with_checkpoint(name)
        worker = next(_ancestors(row))
        for pid in (worker, row):  # the worker first, which would report the death of the row
            os.kill(pid, signal.SIGKILL)
        cluster.remove_node(other, allow_graceful=False)
        said = command.expect(0)
        _same(command.table())
        log = (command.out / name / "worker.log").read_text()
        assert "esum" in log, f"'{name}' was not resumed:\n{log[-2000:]}\n{said}"
    return f"'{name}' went on on the other machine, and the table is that of launcher=local"


def _ray_ctrl_c(folder: Path) -> str:
    with _ray_cluster(machines=1) as cluster:
        words = ("launcher=ray", f"launcher_args.address={cluster.address}")
        command = _Command(folder, "ray", *words)
        name = command.row_with_checkpoint("simclr", "byol")
        begun = time.monotonic()
        os.kill(command.process.pid, signal.SIGINT)
        said = command.expect(130)
        seconds = time.monotonic() - begun
        assert "the same command resumes it" in said, said
        log = (command.out / name / "worker.log").read_text()
        assert "unsaved" not in log.rpartition("Stopping")[2].replace("at once, unsaved", ""), log
        again = _Command(folder, "ray", *words)
        said = again.expect(0)
        assert f"{name}: resuming" in said, said
        _same(again.table())
        assert again.sessions(name) == 2
    return f"saved and stopped in {seconds:.0f} s, resumed to the table of launcher=local"


def _ray_too_small(folder: Path) -> str:
    command = _Command(folder, "ray", "launcher=ray", "launcher_args.num_gpus=64")
    said = command.expect(1)
    assert "a row asks for 1 CPUs and 64 GPUs, and no machine of the Ray cluster has" in said, said
    assert not command.out.exists()
    return "refused before anything was written"


# --------------------------------------------------------------------------- SLURM


def _slurm_kit(folder: Path) -> str:
    from lightly_slurm.config import SlurmArgs
    from lightly_slurm.launcher import SlurmLauncher

    options = SlurmArgs(cluster="local", cpus=1)
    return _run_checks("slurm", lambda suite: SlurmLauncher(options, suite), folder)


def _slurm_preempted(folder: Path) -> str:
    words = ("launcher=slurm", "launcher_args.cpus=1", "launcher_args.partition=long")
    with _slurm.on_path(folder / "slurm") as cluster:
        command = _Command(folder, "out", *words, "launcher_args.setup=['export SET_UP=1']")
        name = command.row_with_checkpoint("simclr", "byol")
        cluster.signal_job_of(_owner(command.out / name) or 0, signal.SIGUSR2)
        said = command.expect(0)
        assert f"{name}: interrupted by its machine, submitted again" in said, said
        _same(command.table())
        assert command.sessions(name) == 2
        scripts = cluster.scripts()
    for line in ("--partition=long", "--no-requeue", "--array=0-1%2", "export SET_UP=1"):
        assert line in scripts[0], scripts[0]
    return f"an array and {len(scripts) - 1} further job, table of launcher=local"


def _slurm_ctrl_c(folder: Path) -> str:
    with _slurm.on_path(folder / "slurm"):
        command = _Command(folder, "out", "launcher=slurm", "launcher_args.cpus=1")
        name = command.row_with_checkpoint("simclr", "byol")
        os.kill(command.process.pid, signal.SIGINT)
        command.expect(130)
        log = (command.out / name / "worker.log").read_text()
        assert "Stopping after this step" in log, log
    again = _Command(folder, "out", "launcher=local")
    said = again.expect(0)
    assert f"{name}: resuming" in said, said
    return "rows saved, and another launcher resumed them"


# --------------------------------------------------------------------------- processes


def _owner(folder: Path) -> int | None:
    """Return the process that holds the lock of a folder."""
    try:
        return int(json.loads((folder / ".lock").read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return
        pid = int(fields[1])
        yield pid


CHECKS = (
    Check("Ray: the checks of the kit", _ray_kit),
    Check("Ray: a machine is lost in mid-row", _ray_machine_lost),
    Check("Ray: Ctrl-C, and the same command again", _ray_ctrl_c),
    Check("Ray: a row that no machine can run", _ray_too_small),
    Check("SLURM: the checks of the kit, by processes", _slurm_kit),
    Check(
        "SLURM, imitated: a row gets the signal to save, and goes on in another job",
        _slurm_preempted,
    ),
    Check("SLURM, imitated: Ctrl-C, and another launcher", _slurm_ctrl_c),
)

"""What the launcher makes of the answers of a cluster, which are made up here."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import Clock

from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.contracts import RowEnd, RowJob, SuiteInfo
from lightly_core.errors import RunError
from lightly_ray import launcher as module
from lightly_ray.config import RayArgs
from lightly_ray.launcher import RayLauncher


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class TaskCancelledError(RayError):
    pass


class WorkerCrashedError(RayError):
    pass


class Cluster:
    """Stands in for the module of Ray. A reference of a task is its name."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, TaskCancelledError=TaskCancelledError
    )

    def __init__(self):
        self.machines = [{"CPU": 2.0, "GPU": 1.0}]
        self.lost = []
        self.tasks, self.results = {}, {}
        self.cancelled, self.calls = [], []

    def is_initialized(self):
        return "init" in self.calls

    def init(self, **options):
        self.calls.append("init")

    def shutdown(self):
        self.calls.append("shutdown")

    def nodes(self):
        self.calls.append("nodes")
        found = [{"Alive": True, "Resources": one} for one in self.machines]
        return [*found, *({"Alive": False, "Resources": one} for one in self.lost)]

    def remote(self, **resources):
        def submit(name, job):
            self.tasks[name] = (job, resources)
            return name

        def options(name):
            return SimpleNamespace(remote=lambda job: submit(name, job))

        return lambda function: SimpleNamespace(options=options)

    def wait(self, references, **_):
        ended = [one for one in references if one in self.results]
        return ended, [one for one in references if one not in ended]

    def get(self, reference):
        result = self.results[reference]
        if isinstance(result, BaseException):
            raise result
        return result

    def cancel(self, reference, force):
        self.cancelled.append((reference, force))


@pytest.fixture
def cluster(monkeypatch):
    found = Cluster()
    monkeypatch.setitem(sys.modules, "ray", found)
    return found


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def job(name):
    return RowJob(name, Path("job.json"), Path("worker.log"), Path())


def ray(*names, **options):
    """Return a launcher of a cluster with an address, with the tasks of some rows."""
    options = {"address": "head:6379", **options}
    launcher = RayLauncher(RayArgs(**options), SuiteInfo("suite", Path(), (), print))
    launcher.submit([job(name) for name in names])
    return launcher


def test_a_row_is_a_task_with_the_resources_of_the_options(cluster):
    ray("a", "b/1", num_cpus=0.5, num_gpus=2.0, max_retries=7)
    resources = {"num_cpus": 0.5, "num_gpus": 2.0, "max_retries": 7}
    assert cluster.tasks == {
        "suite/a": (job("a"), resources),
        "suite/b/1": (job("b/1"), resources),
    }


def test_each_end_is_returned_once(cluster, clock):
    launcher = ray("a", "b")
    assert launcher.wait(0.0) == []
    cluster.results["suite/b"] = RowEnd("b", 3)
    assert launcher.wait(0.0) == [RowEnd("b", 3)]
    assert launcher.wait(0.0) == []
    cluster.results["suite/a"] = RowEnd("a", 0)
    assert launcher.wait(0.0) == [RowEnd("a", 0)]


@pytest.mark.parametrize(
    ("error", "code", "problem"),
    [
        (TaskCancelledError("task"), EXIT_INTERRUPTED, ""),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, ""),
        (
            RayTaskError("\x1b[36mray::run_row\n  File 'node.py'\nOSError: disk is full\n"),
            None,
            "Ray lost the row: RayTaskError: OSError: disk is full",
        ),
        (
            WorkerCrashedError("\nThe worker died.\n  Its log is in /tmp\n"),
            None,
            "Ray lost the row: WorkerCrashedError: The worker died.",
        ),
        (WorkerCrashedError(), None, "Ray lost the row: WorkerCrashedError: "),
    ],
    ids=["cancelled", "interrupted", "raised", "died", "without reason"],
)
def test_an_error_of_ray_is_the_end_of_a_row(cluster, error, code, problem):
    launcher = ray("a")
    cluster.results["suite/a"] = error
    assert launcher.wait(0.0) == [RowEnd("a", code, problem)]


@pytest.mark.parametrize(
    ("machines", "fits"),
    [
        ([{"CPU": 4.0, "GPU": 1.0}], True),
        ([{"CPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}], True),
        ([{"CPU": 3.0, "GPU": 8.0}, {"CPU": 64.0}], False),
        ([], False),
    ],
)
def test_one_machine_must_have_all_that_a_row_asks_for(cluster, clock, machines, fits):
    cluster.machines, cluster.lost = machines, [{"CPU": 64.0, "GPU": 64.0}]
    launcher = ray(num_cpus=4, num_gpus=1, resource_timeout=0)
    if fits:
        launcher.open()
        return
    with pytest.raises(RunError, match="asks for 4 CPUs and 1 GPUs") as refused:
        launcher.open()
    have = "3 CPUs and 8 GPUs; 64 CPUs and 0 GPUs" if machines else "none"
    assert f"(machines: {have})" in str(refused.value)


@pytest.mark.parametrize(("address", "waited"), [("head:6379", 10.0), (None, 0.0)])
def test_a_cluster_with_an_address_may_grow(cluster, clock, monkeypatch, address, waited):
    monkeypatch.setattr(module, "refuse_folder_in_environment", lambda: None)
    launcher = ray(address=address, num_cpus=4, resource_timeout=10)
    with pytest.raises(RunError, match="no machine of the Ray cluster has them"):
        launcher.open()
    assert clock.now == 100.0 + waited


def test_rows_end_when_no_machine_has_been_large_enough_for_a_time(cluster, clock):
    launcher = ray("a", "b", resource_timeout=20)
    machines, cluster.machines = cluster.machines, []
    clock.now = 100.0
    assert launcher.wait(0.0) == []
    clock.now = 115.0
    cluster.machines = machines  # it is back, so the time begins anew
    assert launcher.wait(0.0) == []
    cluster.machines = []
    for now in (125.0, 135.0, 144.0):
        clock.now = now
        assert launcher.wait(0.0) == []
    clock.now = 150.0
    ends = launcher.wait(0.0)
    assert [(end.name, end.code) for end in ends] == [("a", None), ("b", None)]
    assert "no machine of the Ray cluster has them (machines: none)" in ends[0].problem
    assert cluster.cancelled == [("suite/a", True), ("suite/b", True)]


def test_the_cluster_is_looked_at_every_five_seconds(cluster, clock):
    launcher = ray("a")
    for _ in range(21):
        launcher.wait(0.0)
        clock.now += 0.5
    assert cluster.calls.count("nodes") == 3


@pytest.mark.parametrize(("how", "force"), [("save", False), ("now", False), ("kill", True)])
def test_rows_are_interrupted_or_killed(cluster, how, force):
    ray("a", "b").stop(["b", "unknown"], how)
    assert cluster.cancelled == [("suite/b", force)]


def test_closing_kills_the_rows_and_leaves_the_cluster_of_others(cluster):
    launcher = ray("a")
    launcher.close()
    launcher.close()
    assert (cluster.cancelled, cluster.calls) == ([("suite/a", True)], [])


def test_closing_disconnects_once(cluster):
    launcher = ray()
    launcher.open()
    launcher.close()
    launcher.close()
    assert cluster.calls == ["init", "nodes", "shutdown"]

from lightly_core.config.auto.machine import usable_cpus
from lightly_core.engine.machine import inspect_machine


def test_cpus_that_slurm_gave_to_each_task_are_not_divided_again(monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert not inspect_machine().cpus_per_process
    monkeypatch.setenv("SLURM_NTASKS", "4")
    found = inspect_machine()
    assert (found.cpus, found.cpus_per_process) == (1, True)


def test_without_slurm_the_processes_of_a_machine_share_its_cpus(monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    found = inspect_machine()
    assert (found.cpus, found.cpus_per_process) == (usable_cpus(), False)

import socket

import pytest
from attrs import evolve

from lightly_core.config.reading.launch import Launch, early_rank, find_launch, nodes_problem
from lightly_core.errors import ConfigError

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "3",
    "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}  # fmt: skip
MPICH = {"PMI_SIZE": "4", "PMI_RANK": "3", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}
PLAIN = {"WORLD_SIZE": "4", "RANK": "3", "MASTER_ADDR": "node0", "LOCAL_WORLD_SIZE": "2"}
FOUR = Launch(launcher="", world_size=4, rank=3, local_size=2, local_rank=1)


@pytest.mark.parametrize(
    ("variables", "launcher"),
    [
        (TORCHRUN, "torchrun"),
        (SRUN, "srun"),
        (OPEN_MPI, "Open MPI"),
        (MPICH, "MPI"),
        (PLAIN, "the variables RANK and WORLD_SIZE"),
        # torchrun in a job of SLURM, mpirun in a batch script, MPICH's variables under srun.
        ({**SRUN, **TORCHRUN}, "torchrun"),
        ({**SRUN, "SLURM_NTASKS": "2", **OPEN_MPI}, "Open MPI"),
        ({**SRUN, **MPICH}, "srun"),
    ],
)
def test_four_processes_on_two_machines_are_recognised(variables, launcher):
    assert find_launch(variables) == evolve(FOUR, launcher=launcher)
    assert FOUR.num_nodes == 2
    assert early_rank(variables) == 3


@pytest.mark.parametrize(
    ("master", "local_size", "local_rank"),
    [({}, 4, 3), ({"MASTER_ADDR": socket.gethostname()}, 4, 3), ({"MASTER_ADDR": "node0"}, 1, 0)],
)
def test_variables_without_local_ones_mean_one_machine_or_a_process_each(
    master, local_size, local_rank
):
    for names in (("WORLD_SIZE", "RANK"), ("PMI_SIZE", "PMI_RANK")):
        launch = find_launch({**dict(zip(names, "43", strict=True)), **master})
        assert (launch.local_size, launch.local_rank) == (local_size, local_rank)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WORLD_SIZE": "2", "LOCAL_RANK": "1", "NODE_RANK": "0"},  # Lightning's own launcher
        {"WORLD_SIZE": "1", "RANK": "0"},
        {"RANK": "x", "WORLD_SIZE": "2"},
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"},  # a shell of salloc
        {**SRUN, "SLURM_JOB_NAME": "bash"},
        {"OMPI_COMM_WORLD_SIZE": "1"},
    ],
)
def test_a_process_that_was_started_alone_is_no_launch(variables):
    assert find_launch(variables) is None


def test_torchrun_counts_with_one_process_too():
    one = {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    assert find_launch(one).world_size == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({**TORCHRUN, "RANK": ""}, "RANK is not set"),
        ({**TORCHRUN, "RANK": "4"}, "contradict"),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "3"}, "contradict"),
        ({**SRUN, "SLURM_NTASKS": "3"}, "3 tasks on 2 nodes"),
        # A batch script without srun: one process, which would wait for the others for ever.
        ({k: v for k, v in SRUN.items() if "STEP" not in k}, "not started by srun"),
        ({**PLAIN, "LOCAL_WORLD_SIZE": "", "LOCAL_RANK": "1"}, "LOCAL_WORLD_SIZE is not set"),
    ],
)
def test_variables_that_do_not_fit_are_refused(variables, words):
    with pytest.raises(ConfigError, match=words):
        find_launch(variables)


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "NODE_RANK", "RANK"])
def test_one_process_of_lightnings_own_launcher_is_the_first(variable):
    assert early_rank({}) == 0
    assert early_rank({"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2"}) == 0
    assert early_rank({"LOCAL_RANK": "0", "NODE_RANK": "0", variable: "1"}) == 1


def test_machines_that_nobody_has_told_of_each_other_are_refused():
    assert "set MASTER_ADDR, MASTER_PORT and NODE_RANK" in nodes_problem(2, {})
    assert nodes_problem(1, {}) is None
    for told in ({"MASTER_ADDR": "node0"}, {"LSB_JOBID": "3"}, TORCHRUN, SRUN, OPEN_MPI):
        assert nodes_problem(2, told) is None

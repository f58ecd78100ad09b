"""Recognises launchers, which are programs that start one run as several processes."""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import define

from lightly_core.errors import ConfigError

#: Variables of MPI libraries: size, rank, and the same within a node.
_MPI = {
    "Open MPI": (
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
    ),
    "jsrun": (
        "JSM_NAMESPACE_SIZE",
        "JSM_NAMESPACE_RANK",
        "JSM_NAMESPACE_LOCAL_SIZE",
        "JSM_NAMESPACE_LOCAL_RANK",
    ),
    "MVAPICH": (
        "MV2_COMM_WORLD_SIZE",
        "MV2_COMM_WORLD_RANK",
        "MV2_COMM_WORLD_LOCAL_SIZE",
        "MV2_COMM_WORLD_LOCAL_RANK",
    ),
}
_PMI = ("PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS", "MPI_LOCALRANKID")
_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK")

#: Variables that only srun sets. A batch script has the other variables of SLURM too.
_SRUN = ("SLURM_STEP_ID", "SLURM_STEPID", "SLURM_STEP_NUM_TASKS", "SLURM_SRUN_COMM_HOST")
INTERACTIVE_JOBS = ("bash", "interactive")  # names of interactive jobs, as in Lightning


@define(frozen=True, kw_only=True)
class Launch:
    """The processes that a launcher has started for one run, and the rank of this one.

    Attributes:
        launcher: Name of the launcher, for messages.
        world_size: Number of processes, >= 1.
        rank: Number of this process, in [0, world_size).
        local_size: Number of processes on this node, the same on every node.
        local_rank: Number of this process on its node, in [0, local_size).
    """

    launcher: str
    world_size: int
    rank: int
    local_size: int
    local_rank: int

    @property
    def num_nodes(self) -> int:
        """Number of machines."""
        return self.world_size // self.local_size


def find_launch(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """Return the launch that this process belongs to. None: it was started alone.

    Processes that Lightning starts itself are not a launch, since the first one starts the others.

    Args:
        environ: Environment variables.

    Raises:
        ConfigError: Variables of a launcher contradict each other, or one is missing.
    """
    found = (
        _torchrun(environ) or _mpi(environ) or _slurm(environ) or _pmi(environ) or _plain(environ)
    )
    return None if found is None else _checked(found)


def early_rank(environ: Mapping[str, str] = os.environ) -> int:
    """Return a number that is 0 in the first process of a run only.

    It is the rank, if a launcher or Lightning has set it. With several nodes and Lightning's own
    launcher, it is some positive number in the processes of further nodes.
    """
    launch = find_launch(environ)
    if launch is not None:
        return launch.rank
    ranks = [_number(environ, name) for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")]
    return next((rank for rank in ranks if rank), 0)


def is_first_process() -> bool:
    """Return whether this process writes the files and the messages of a run."""
    return early_rank() == 0


def nodes_problem(num_nodes: int, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return why a run on several machines would never start, or None.

    Args:
        num_nodes: Number of machines in the settings.
        environ: Environment variables.
    """
    # Only Lightning recognises LSF.
    known = "MASTER_ADDR" in environ or "LSB_JOBID" in environ or find_launch(environ) is not None
    if num_nodes == 1 or known:
        return None
    return (
        f"config.num_nodes: got {num_nodes}, but the address of the first machine and the number "
        "of this one are not set; start the command on each by torchrun or srun, or set "
        "MASTER_ADDR, MASTER_PORT and NODE_RANK on each"
    )


def _torchrun(environ: Mapping[str, str]) -> Launch | None:
    # Also with one process: if this is set, Lightning uses torchrun's number, not `devices`.
    return _of("torchrun", _VARIABLES, environ) if "TORCHELASTIC_RUN_ID" in environ else None


def _mpi(environ: Mapping[str, str]) -> Launch | None:
    for name, variables in _MPI.items():
        if variables[0] in environ:
            return _of(name, variables, environ)
    return None


def _slurm(environ: Mapping[str, str]) -> Launch | None:
    world_size = _number(environ, "SLURM_STEP_NUM_TASKS") or _number(environ, "SLURM_NTASKS") or 1
    # A shell of salloc has the number of tasks, but is not one of them.
    alone = world_size == 1 or "SLURM_PROCID" not in environ
    if alone or environ.get("SLURM_JOB_NAME") in INTERACTIVE_JOBS:
        return None
    if not any(name in environ for name in _SRUN):
        raise ConfigError(
            f"SLURM has {world_size} tasks for this job (SLURM_NTASKS), but this process was not "
            "started by srun (SLURM_STEP_ID is not set). Put srun before the command, or request "
            "one task with as many CPUs as needed (--ntasks=1 --cpus-per-task=N)"
        )
    nodes = _number(environ, "SLURM_STEP_NUM_NODES") or _number(environ, "SLURM_NNODES") or 1
    if world_size % nodes:
        raise ConfigError(
            f"SLURM has {world_size} tasks on {nodes} nodes, but every node needs the same number: "
            "use --ntasks-per-node"
        )
    return Launch(
        launcher="srun",
        world_size=world_size,
        rank=_needed(environ, "SLURM_PROCID", "srun"),
        local_size=world_size // nodes,
        local_rank=_needed(environ, "SLURM_LOCALID", "srun"),
    )


def _pmi(environ: Mapping[str, str]) -> Launch | None:
    return _of("MPI", _PMI, environ) if (_number(environ, "PMI_SIZE") or 1) > 1 else None


def _plain(environ: Mapping[str, str]) -> Launch | None:
    """Recognise RANK and WORLD_SIZE, set by a cluster or the user without torchrun."""
    if (_number(environ, "WORLD_SIZE") or 1) < 2 or _number(environ, "RANK") is None:
        return None
    return _of("the variables RANK and WORLD_SIZE", _VARIABLES, environ)


def _master_is_here(environ: Mapping[str, str]) -> bool:
    """Return whether this machine is the master, so that all processes run on it."""
    import socket  # takes milliseconds, and is rarely needed

    address = environ.get("MASTER_ADDR", "localhost")
    return address in ("localhost", "127.0.0.1", "::1", socket.gethostname())


def _of(
    name: str, variables: tuple[str, str, str, str], environ: Mapping[str, str]
) -> Launch | None:
    """Read a launch from the names of its size, rank, local size and local rank.

    If the last two are missing, all processes are on this machine if it is the master; otherwise
    each is on a machine of its own.
    """
    world_size = _needed(environ, variables[0], name)
    if world_size == 1 and name != "torchrun":
        return None
    rank = _needed(environ, variables[1], name)
    local_size, local_rank = (_number(environ, variable) for variable in variables[2:])
    if local_size is None:
        if not _master_is_here(environ) and local_rank is not None:
            raise ConfigError(_missing(name, variables[2]))
        local_size = world_size if _master_is_here(environ) else 1
    return Launch(
        launcher=name,
        world_size=world_size,
        rank=rank,
        local_size=local_size,
        local_rank=rank % max(local_size, 1) if local_rank is None else local_rank,
    )


def _checked(launch: Launch) -> Launch:
    fits = (
        launch.local_size >= 1
        and launch.world_size % launch.local_size == 0
        and launch.rank < launch.world_size
        and launch.local_rank < launch.local_size
    )
    if not fits:
        raise ConfigError(
            f"the variables of {launch.launcher} contradict each other: got {launch.world_size} "
            f"processes, of which this is number {launch.rank}, and {launch.local_size} on this "
            f"node, of which this is number {launch.local_rank}; numbers start at 0, and every "
            "node needs the same number of processes"
        )
    return launch


def _needed(environ: Mapping[str, str], variable: str, launcher: str) -> int:
    number = _number(environ, variable)
    if number is None:
        raise ConfigError(_missing(launcher, variable))
    return number


def _missing(launcher: str, variable: str) -> str:
    return (
        f"this process seems to be started by {launcher}, but the environment variable {variable} "
        "is not set to a number; set it in every process, or start the run with torchrun"
    )


def _number(environ: Mapping[str, str], variable: str) -> int | None:
    text = environ.get(variable, "")
    return int(text) if text.isascii() and text.isdecimal() else None

"""Lightning plugins for processes that a launcher has started."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from lightly_core.config.reading.launch import Launch, find_launch
from lightly_core.errors import ConfigError

#: Lightning knows these launchers itself.
_KNOWN_TO_LIGHTNING = ("torchrun",)
# Between the ports of common services and the ephemeral ports of systems.
_FIRST_PORT, _NUM_PORTS = 12_000, 18_000


class LaunchedProcesses(ClusterEnvironment):
    """Processes started by a launcher, as its environment variables describe them.

    Args:
        launch: The launch that the variables describe.
        out: The run folder; the port at which processes connect is computed from it.
    """

    def __init__(self, launch: Launch, out: Path) -> None:
        super().__init__()
        self._launch = launch
        self._port = _FIRST_PORT + zlib.crc32(os.fsencode(out)) % _NUM_PORTS

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts no process."""
        return True

    @property
    def main_address(self) -> str:
        """Address at which processes connect: MASTER_ADDR, else this machine."""
        return os.environ.setdefault("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        """MASTER_PORT, else one computed from the run folder, in [12000, 30000)."""
        return int(os.environ.setdefault("MASTER_PORT", str(self._port)))

    @staticmethod
    def detect() -> bool:
        """Never chosen by Lightning itself."""
        return False

    def world_size(self) -> int:
        """Return the number of processes."""
        return self._launch.world_size

    def set_world_size(self, size: int) -> None:
        """Do nothing: the launcher determines it."""

    def global_rank(self) -> int:
        """Return the number of this process."""
        return self._launch.rank

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: the launcher determines it."""

    def local_rank(self) -> int:
        """Return the number of this process on its node."""
        return self._launch.local_rank

    def node_rank(self) -> int:
        """Return the number of this node."""
        return self._launch.rank // self._launch.local_size


def cluster_plugins(given: Sequence[object], out: Path) -> list[ClusterEnvironment]:
    """Return the plugins to add to the Trainer's.

    Lightning would treat every SLURM job as started by srun, and detects MPI only with mpi4py. It
    handles torchrun itself.

    Args:
        given: Plugins of the user; a cluster environment among them takes precedence.
        out: The run folder.

    Raises:
        ConfigError: Processes on several machines could not connect to each other.
    """
    if any(isinstance(plugin, ClusterEnvironment) for plugin in given):
        return []
    launch = find_launch()
    if launch is None:
        return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ else []
    if launch.launcher in _KNOWN_TO_LIGHTNING:
        return []
    if launch.num_nodes > 1 and "MASTER_ADDR" not in os.environ:
        if launch.launcher != "srun":
            raise ConfigError(
                f"{launch.launcher} started processes on {launch.num_nodes} machines, but no "
                "address to connect to; set MASTER_ADDR to the name of the first machine (and "
                "MASTER_PORT to a free port of it), or start the run with torchrun"
            )
        _set_address_of_slurm()
    return [LaunchedProcesses(launch, out)]


def _set_address_of_slurm() -> None:
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST", "")
    os.environ["MASTER_ADDR"] = SLURMEnvironment.resolve_root_node_address(nodes or "127.0.0.1")

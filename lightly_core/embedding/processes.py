"""The processes that embed together: those of a launcher, or those that `devices` starts."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

import torch
from attrs import evolve

from lightly_core.config.auto.machine import cpus_are_per_process, usable_cpus
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.fields import plain
from lightly_core.config.reading.launch import Launch
from lightly_core.errors import ConfigError
from lightly_core.evaluation.backbone import loader_workers
from lightly_core.plugins.discovery import blocked_plugins

logger = logging.getLogger(__name__)

#: Module of the further processes.
_MODULE = "lightly_core.embedding.child"
#: Seconds that the further processes have to end by themselves when all files are complete. One
#: may only be starting.
_SECONDS_TO_FINISH = 5.0
#: Seconds that they have to end after a signal.
_SECONDS_TO_END = 20.0


def own_launch(config: EmbedConfig) -> Launch | None:
    """Return the processes of the setting `devices`; None: there is only this one.

    Raises:
        ConfigError: There are not so many devices.
    """
    available = torch.cuda.device_count() if _on_cuda(config) else None
    count = config.devices if config.devices != "auto" else available or 1
    if available is not None and count > available:
        raise ConfigError(
            f"config.devices: got {count}, but torch finds {available} device(s); use devices=auto"
        )
    if count == 1:
        return None
    return Launch(launcher="devices", world_size=count, rank=0, local_size=count, local_rank=0)


@contextmanager
def own_part(config: EmbedConfig, launch: Launch | None) -> Iterator[EmbedConfig]:
    """Use the GPU of this process, or its part of the CPUs.

    Args:
        config: The settings.
        launch: The processes that embed together, and the rank of this one.

    Yields:
        The settings with the loader workers of this process.
    """
    if launch is None or launch.local_size == 1:
        yield config
        return
    cpus = usable_cpus() if cpus_are_per_process() else usable_cpus() // launch.local_size
    on_cuda, threads = _on_cuda(config), torch.get_num_threads()
    if not on_cuda and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, cpus))
    # A process may see only its own GPU.
    own = launch.local_rank % torch.cuda.device_count() if on_cuda else 0
    try:
        with torch.cuda.device(own) if on_cuda else nullcontext():
            yield evolve(config, num_workers=loader_workers(config.num_workers, cpus))
    finally:
        torch.set_num_threads(threads)


@contextmanager
def further_processes(config: EmbedConfig, launch: Launch | None) -> Iterator[None]:
    """Start the other processes of the setting `devices`, and wait for them in the end.

    One that ends early is only warned of, since the others compute its files. After an error of
    this process they are ended.

    Args:
        config: The settings, without Python objects.
        launch: The processes of `own_launch`; None: none are started.
    """
    if launch is None:
        yield
        return
    settings = {name: value for name, value in plain(config).items() if value is not None}
    job = json.dumps({"settings": {**settings, "devices": 1}, "blocked": list(blocked_plugins())})
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, launch.world_size):
            processes.append(_start(launch, rank, job))
        yield
        for rank, process in enumerate(processes, start=1):
            with suppress(subprocess.TimeoutExpired):
                _warn_of(rank, launch.world_size, process.wait(_SECONDS_TO_FINISH))
    finally:
        _end(processes)


def _warn_of(rank: int, count: int, code: int) -> None:
    if code != 0:
        logger.warning(
            "Process %d of %d ended with code %d; the others computed its files.", rank, count, code
        )


def _start(launch: Launch, rank: int, job: str) -> subprocess.Popen[bytes]:
    # Those of `RANK and WORLD_SIZE set by the user`, see `find_launch`.
    variables = {
        "WORLD_SIZE": launch.world_size,
        "RANK": rank,
        "LOCAL_WORLD_SIZE": launch.local_size,
        "LOCAL_RANK": rank,
    }
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE], stdin=subprocess.PIPE, env=environment
    )
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(job.encode())
    return process


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _on_cuda(config: EmbedConfig) -> bool:
    return config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()

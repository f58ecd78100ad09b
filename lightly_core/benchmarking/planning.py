"""Compute the length of each row before the first one starts.

This needs torch and opens the images. So it runs in another process, which ends before the rows
start. The process of the suite itself takes no memory on any device.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from attrs import asdict, define

from lightly_core.benchmarking.suite import Row
from lightly_core.contracts.launcher import RowMachine
from lightly_core.errors import ConfigError, LightlyError, RunError
from lightly_core.plugins.discovery import configure, get_plugins

if TYPE_CHECKING:
    from lightly_core.config.auto.machine import Machine
    from lightly_core.config.options.settings import RunConfig


@define(frozen=True, kw_only=True)
class Plan:
    """The resolved settings of a row on this machine.

    Attributes:
        num_images: Images to pretrain on.
        batch_size: Images per optimizer step.
        epochs: Passes over them.
        steps: Optimizer steps.
        accelerator: Kind of device.
        precision: Number format.
        problems: Why the row cannot run here. All other values are then 0 or empty.
    """

    num_images: int = 0
    batch_size: int = 0
    epochs: int = 0
    steps: int = 0
    accelerator: str = ""
    precision: str = ""
    problems: tuple[str, ...] = ()


def plan_rows(
    rows: Sequence[Row], blocked_plugins: Sequence[str], machine: RowMachine | None = None
) -> list[Plan]:
    """Plan the rows in another process.

    Args:
        rows: Rows whose settings have been checked.
        blocked_plugins: Plugins that are not loaded.
        machine: What a row may use on its machine; None: all of this one.

    Raises:
        RunError: That process failed, and not because of a row's settings.
    """
    job = {
        "blocked_plugins": list(blocked_plugins),
        "machine": None if machine is None else dataclasses.asdict(machine),
        "runs": [{**row.run, "out": f"not-made/{row.name}"} for row in rows],
    }
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise RunError(f"the rows cannot be planned: {''.join(last)}")
    return [
        Plan(**{**plan, "problems": tuple(plan["problems"])})
        for plan in json.loads(done.stdout.splitlines()[-1])
    ]


def _main() -> None:
    job = json.load(sys.stdin)
    configure(block=job["blocked_plugins"])
    count, machine = _counter(), _machine(job["machine"])
    print(json.dumps([asdict(_plan(run, count, machine)) for run in job["runs"]]))


def _machine(given: dict[str, int] | None) -> Machine:
    from lightly_core.config.auto.machine import Machine
    from lightly_core.engine.machine import inspect_machine

    if given is None:
        return inspect_machine()
    # Whether GPUs of another machine compute bfloat16 changes no number of the plan.
    return Machine(cpus=given["cpus"], cuda_devices=given["gpus"], cuda_bf16=given["gpus"] > 0)


def _counter() -> Callable[[RunConfig], int]:
    """Return a function that counts images, each folder once."""
    from lightly_core.data.sources import open_source

    counts: dict[str, int] = {}

    def count(run: RunConfig) -> int:
        key = json.dumps(run.data)
        if key not in counts:
            counts[key] = len(open_source(run.data))
        return counts[key]

    return count


def _plan(given: dict[str, Any], count: Callable[[RunConfig], int], machine: Machine) -> Plan:
    from lightly_core.config.auto.resolve import resolve
    from lightly_core.config.reading.load import load_settings

    try:
        settings = load_settings(catalog=get_plugins().catalog, arguments=given)
        problems = _trainer_args_problems(settings.run.trainer_args)
        if problems:
            raise ConfigError.of(problems)
        resolved = resolve(settings, machine, count(settings.run))
    except ConfigError as error:
        return Plan(problems=error.problems)
    except LightlyError as error:
        return Plan(problems=(str(error),))
    run = resolved.run
    return Plan(
        num_images=resolved.dataset_size,
        batch_size=resolved.effective_batch_size,
        epochs=cast(int, run.epochs),
        steps=resolved.total_steps,
        accelerator=str(run.accelerator),
        precision=run.precision,
    )


def _trainer_args_problems(trainer_args: dict[str, Any] | None) -> list[str]:
    if not trainer_args:
        return []
    from lightly_core.engine.trainer import trainer_args_problems  # imports Lightning

    return trainer_args_problems(trainer_args)


if __name__ == "__main__":
    _main()

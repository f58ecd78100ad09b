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
from lightly_core.benchmarking.sweeps.metric import check_metric, never_pruned
from lightly_core.contracts.launcher import RowMachine
from lightly_core.errors import ConfigError, LightlyError, RunError
from lightly_core.plugins.discovery import configure, get_plugins

if TYPE_CHECKING:
    from lightly_core.config.auto.machine import Machine
    from lightly_core.data.base import ImageSource


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
        note: What the user should know.
    """

    num_images: int = 0
    batch_size: int = 0
    epochs: int = 0
    steps: int = 0
    accelerator: str = ""
    precision: str = ""
    problems: tuple[str, ...] = ()
    note: str = ""

    @property
    def images(self) -> int:
        """Images that it trains on, each as often as it is used."""
        return self.steps * self.batch_size


def plan_rows(
    rows: Sequence[Row], blocked_plugins: Sequence[str], machine: RowMachine | None = None
) -> list[Plan]:
    """Plan the rows in another process. The plan of a sweep is that of its longest trial.

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
        "rows": [_job(row) for row in rows],
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


def _job(row: Row) -> dict[str, Any]:
    """Return the runs whose plans make that of a row, and the metric that they have to log."""
    sweep = row.sweep
    return {
        "runs": [{**probe.run, "out": f"not-made/{row.name}"} for probe in row.variants],
        "metric": None if sweep is None else sweep.args.metric,
        "pruned": sweep is not None and sweep.args.pruner != "none",
    }


def _main() -> None:
    job = json.load(sys.stdin)
    configure(block=job["blocked_plugins"])
    images, machine = _opener(), _machine(job["machine"])
    print(json.dumps([asdict(_longest(row, images, machine)) for row in job["rows"]]))


def _longest(
    row: dict[str, Any], images: Callable[[object], ImageSource], machine: Machine
) -> Plan:
    """Return the plan with the most images, or the problems of all."""
    plans = [_plan(run, images, machine, row["metric"], row["pruned"]) for run in row["runs"]]
    problems = tuple(dict.fromkeys(text for plan in plans for text in plan.problems))
    return Plan(problems=problems) if problems else max(plans, key=lambda plan: plan.images)


def _machine(given: dict[str, int] | None) -> Machine:
    from lightly_core.config.auto.machine import Machine
    from lightly_core.engine.machine import inspect_machine

    if given is None:
        return inspect_machine()
    # Whether GPUs of another machine compute bfloat16 changes no number of the plan.
    return Machine(cpus=given["cpus"], cuda_devices=given["gpus"], cuda_bf16=given["gpus"] > 0)


def _opener() -> Callable[[object], ImageSource]:
    """Return a function that opens images, each folder once."""
    from lightly_core.data.sources import open_source

    opened: dict[str, ImageSource] = {}

    def images(data: Any) -> ImageSource:  # noqa: ANN401 - as a row gives it
        key = json.dumps(data)
        if key not in opened:
            opened[key] = open_source(data)
        return opened[key]

    return images


def _plan(
    given: dict[str, Any],
    images: Callable[[object], ImageSource],
    machine: Machine,
    metric: str | None,
    pruned: bool,
) -> Plan:
    from lightly_core.config.auto.resolve import resolve
    from lightly_core.config.reading.load import load_settings

    try:
        settings = load_settings(catalog=get_plugins().catalog, arguments=given)
        problems = _trainer_args_problems(settings.run.trainer_args)
        if problems:
            raise ConfigError.of(problems)
        val_data = settings.run.val_data if metric is not None else None
        resolved = resolve(
            settings,
            machine,
            len(images(settings.run.data)),
            val_size=None if val_data is None else len(images(val_data)),
        )
        if metric is not None:
            check_metric(resolved, metric, images)
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
        note=never_pruned(resolved, metric) if metric is not None and pruned else "",
    )


def _trainer_args_problems(trainer_args: dict[str, Any] | None) -> list[str]:
    if not trainer_args:
        return []
    from lightly_core.engine.trainer import trainer_args_problems  # imports Lightning

    return trainer_args_problems(trainer_args)


if __name__ == "__main__":
    _main()

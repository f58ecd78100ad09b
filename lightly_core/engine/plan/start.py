"""What a run says before its first step."""

from __future__ import annotations

from lightly_core.config.auto.resolve import Resolved
from lightly_core.data.names import shown
from lightly_core.engine.plan.size import RunSize, size_rows


def start_text(resolved: Resolved, size: RunSize, *, resumed: bool) -> str:
    """Return what the run will do, one subject a line.

    Args:
        resolved: Settings without "auto".
        size: Parameters and memory of its networks.
        resumed: Whether an interrupted run is continued.
    """
    run = resolved.run
    verb = "Resuming" if resumed else "Pretraining"
    devices = f"{resolved.world_size} x {run.accelerator}"
    plural = "" if run.num_workers == 1 else "s"
    workers = f"{run.num_workers} worker{plural}"
    if resolved.memory.use:
        workers = "images in memory"
    rows = [
        ("images", f"{resolved.dataset_size:,}"),
        ("length", _length(resolved)),
        *size_rows(size, resolved),
        ("recipe", f"{resolved.recipe.name}, as {resolved.recipe.reason}"),
        ("device", f"{devices}, {run.precision}, {workers}"),
    ]
    lines = [f"{verb} {shown(str(run.model))} with {resolved.method_record.name}"]
    lines += [f"  {name:<12}{text}" for name, text in rows]
    if resolved.seed_drawn:
        lines.append(f"The seed is random; seed={run.seed} repeats this run")
    return "\n".join(lines)


def _length(resolved: Resolved) -> str:
    text = (
        f"{resolved.run.epochs:,} epochs, {resolved.total_steps:,} steps of "
        f"{resolved.effective_batch_size:,} images"
    )
    if resolved.length.given:
        return text
    return f"{text} ({resolved.length.reason}); the first steps show how long it takes"

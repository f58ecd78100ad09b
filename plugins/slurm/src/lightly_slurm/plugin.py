"""What lightly-slurm adds. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, LauncherRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the launcher."""
    catalog.add(
        LauncherRecord(
            name="slurm",
            target="lightly_slurm.launcher:SlurmLauncher",
            config="lightly_slurm.config:SlurmArgs",
            check="lightly_slurm.config:problems",
            summary="Rows as an array of SLURM jobs; a row that is preempted goes on.",
        )
    )

"""What lightly-ray adds. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, LauncherRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the launcher."""
    catalog.add(
        LauncherRecord(
            name="ray",
            target="lightly_ray.launcher:RayLauncher",
            config="lightly_ray.config:RayArgs",
            summary="Rows as tasks of a Ray cluster; a row goes on if its machine is lost.",
            requires=("ray>=2.44",),
        )
    )

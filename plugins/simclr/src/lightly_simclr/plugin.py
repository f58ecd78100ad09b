"""What lightly-simclr adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, hookimpl

LIGHTLY_API = 1


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the method."""
    catalog.method(
        "simclr",
        target="lightly_simclr.method:SimCLR",
        config="lightly_simclr.config:SimCLRConfig",
        summary="Pull two views of an image together, push other images away.",
    )

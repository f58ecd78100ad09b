"""Registers the models with lightly-core. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, ModelsRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the models."""
    catalog.add(
        ModelsRecord(
            name="acme",
            target="acme_models.library:AcmeLibrary",
            names=("tinynet", "tinynet-wide"),
            wraps=("acme_models",),
            summary="ACME's small convolutional networks.",
        )
    )

"""What the plugin adds to lightly-core. Imported at every start, so nothing heavy here."""

from lightly_core import Catalog, hookimpl

LIGHTLY_API = 1


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the models."""
    catalog.models(
        "acme",
        target="acme_models.library:AcmeLibrary",
        names=("tinynet", "tinynet-wide"),
        wraps=("acme_models",),
        summary="ACME's small convolutional networks.",
    )

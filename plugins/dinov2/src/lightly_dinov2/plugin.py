"""What lightly-dinov2 adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, hookimpl
from lightly_dinov2.models import MODELS

LIGHTLY_API = 1

_SMALLEST = ("vits14-notpretrained",)


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the models."""
    catalog.models(
        "dinov2",
        target="lightly_dinov2.library:DINOv2Library",
        names=tuple(MODELS),
        requires=("timm>=1.0.26",),
        capabilities={"tokens": _SMALLEST, "activation_checkpointing": _SMALLEST},
        summary="Meta's DINOv2 vision transformers, from their published weights or from scratch.",
    )

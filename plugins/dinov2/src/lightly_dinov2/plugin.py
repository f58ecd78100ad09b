"""What lightly-dinov2 adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, ModelsRecord, hookimpl
from lightly_dinov2.models import MODELS

LIGHTLY_API = 2

_SMALLEST = ("vits14-notpretrained",)


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the models."""
    catalog.add(
        ModelsRecord(
            name="dinov2",
            target="lightly_dinov2.library:DINOv2Library",
            names=tuple(MODELS),
            requires=("timm>=1.0.26",),
            capabilities={"tokens": _SMALLEST, "activation_checkpointing": _SMALLEST},
            facts="lightly_dinov2:facts.csv",
            weights=(("*-notpretrained", "random"), ("*", "Meta's file, which is downloaded")),
            summary="Meta's DINOv2 vision transformers, from published weights or from scratch.",
        )
    )

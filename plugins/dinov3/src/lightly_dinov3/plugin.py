"""What lightly-dinov3 adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, ModelsRecord, hookimpl
from lightly_dinov3.models import LICENCE, MODELS

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the models."""
    catalog.add(
        ModelsRecord(
            name="dinov3",
            target="lightly_dinov3.library:DINOv3Library",
            names=tuple(MODELS),
            requires=("timm>=1.0.26",),
            capabilities={
                "tokens": ("vits16-notpretrained", "vitt16"),
                "activation_checkpointing": ("vits16-notpretrained", "convnext-tiny-notpretrained"),
            },
            facts="lightly_dinov3:facts.csv",
            weights=(
                ("*-notpretrained", "random"),
                ("vitt*", "random"),
                ("*", "Meta's file, which you get from Meta, as model_args.weights=FILE"),
            ),
            summary="Meta's DINOv3 models, from their published weights or from scratch.",
            licence=LICENCE,
        )
    )

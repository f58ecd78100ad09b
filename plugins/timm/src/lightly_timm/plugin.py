"""What lightly-timm adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, FormatRecord, ModelsRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the models."""
    catalog.add(
        ModelsRecord(
            name="timm",
            target="lightly_timm.library:TimmLibrary",
            names="lightly_timm:models.txt",
            wraps=("timm",),
            # Older versions lose the class token of transformers without position embeddings.
            requires=("timm>=1.0.26",),
            complete=False,  # Another version of timm knows other models.
            capabilities={
                "tokens": (
                    "vit_tiny_patch16_224",
                    "vit_small_patch16_dinov3",
                    "eva02_tiny_patch14_224",
                ),
                "activation_checkpointing": ("resnet50", "convnext_tiny"),
            },
            any_size=(
                *("convnext_*", "convnextv2_*", "densenet*", "efficientnet_b*", "mobilenetv2_*"),
                *("mobilenetv3_*", "regnetx_*", "regnety_*", "resnet[0-9]*", "resnext*"),
                *("seresnet*", "wide_resnet*"),
            ),
            facts="lightly_timm:facts.csv",
            weights=(
                (
                    "*",
                    "random; model_args.pretrained=true loads those of timm's hub, "
                    "model_args.weights=FILE those of a file",
                ),
            ),
            summary="Every model of timm, PyTorch Image Models.",
        )
    )
    catalog.add(
        FormatRecord(
            name="timm",
            target="lightly_timm.folder:TimmFolder",
            summary="A folder that timm.create_model('local-dir:PATH') loads.",
            parts=("model",),
        )
    )

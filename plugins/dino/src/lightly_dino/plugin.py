"""What lightly-dino adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, hookimpl

LIGHTLY_API = 1


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the methods."""
    catalog.method(
        "dino",
        target="lightly_dino.dino:DINO",
        config="lightly_dino.config:DINOConfig",
        summary="Predict what a slowly following teacher sees in other crops; any backbone.",
    )
    catalog.method(
        "ibot",
        target="lightly_dino.ibot:IBOT",
        config="lightly_dino.config_tokens:IBOTConfig",
        summary="DINO, and predict the teacher's view of hidden patches; vision transformers.",
    )
    catalog.method(
        "dinov2",
        target="lightly_dino.dinov2:DINOv2",
        config="lightly_dino.config_tokens:DINOv2Config",
        summary="DINO, iBOT and evenly spread embeddings; also continues from released weights.",
    )
    catalog.method(
        "dinov3",
        target="lightly_dino.dinov3:DINOv3",
        config="lightly_dino.config_tokens:DINOv3Config",
        summary="DINOv2 whose patches keep the similarities of an earlier teacher.",
    )
    catalog.method(
        "dinov31",
        target="lightly_dino.dinov31:DINOv31",
        config="lightly_dino.config_tokens:DINOv31Config",
        summary="DINOv2 that aligns how patches resemble each other; to refine trained weights.",
    )
    catalog.method(
        "simdino",
        target="lightly_dino.simdino:SimDINO",
        config="lightly_dino.config_sim:SimDINOConfig",
        summary="DINO without prototypes: agree by cosine, spread by coding rate; any backbone.",
    )
    catalog.method(
        "simdinov2",
        target="lightly_dino.simdinov2:SimDINOv2",
        config="lightly_dino.config_sim:SimDINOv2Config",
        summary="SimDINO with hidden patches; vision transformers.",
    )

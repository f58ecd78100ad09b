"""What lightly-dino adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, MethodRecord, hookimpl

LIGHTLY_API = 2

METHODS = (
    MethodRecord(
        name="dino",
        target="lightly_dino.dino:DINO",
        config="lightly_dino.config:DINOConfig",
        summary="Predict what a slowly following teacher sees in other crops; any backbone.",
    ),
    MethodRecord(
        name="ibot",
        target="lightly_dino.ibot:IBOT",
        config="lightly_dino.config_tokens:IBOTConfig",
        summary="DINO, and predict the teacher's view of hidden patches; vision transformers.",
    ),
    MethodRecord(
        name="dinov2",
        target="lightly_dino.dinov2:DINOv2",
        config="lightly_dino.config_tokens:DINOv2Config",
        summary="DINO, iBOT and evenly spread embeddings; also from released weights.",
    ),
    MethodRecord(
        name="dinov3",
        target="lightly_dino.dinov3:DINOv3",
        config="lightly_dino.config_tokens:DINOv3Config",
        summary="DINOv2 whose patches keep the similarities of an earlier teacher.",
    ),
    MethodRecord(
        name="dinov31",
        target="lightly_dino.dinov31:DINOv31",
        config="lightly_dino.config_tokens:DINOv31Config",
        summary="DINOv2 that aligns how patches resemble each other; refines trained weights.",
    ),
    MethodRecord(
        name="simdino",
        target="lightly_dino.simdino:SimDINO",
        config="lightly_dino.config_sim:SimDINOConfig",
        summary="DINO without prototypes: cosine agreement and coding rate; any backbone.",
    ),
    MethodRecord(
        name="simdinov2",
        target="lightly_dino.simdinov2:SimDINOv2",
        config="lightly_dino.config_sim:SimDINOv2Config",
        summary="SimDINO with hidden patches; vision transformers.",
    ),
)


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the methods."""
    for record in METHODS:
        catalog.add(record)

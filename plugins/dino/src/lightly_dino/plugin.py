"""What lightly-dino adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, MethodRecord, hookimpl

LIGHTLY_API = 2

METHODS = (
    MethodRecord(
        name="dino",
        target="lightly_dino.dino:DINO",
        config="lightly_dino.dino_config:DINOConfig",
        summary="Predict an EMA teacher's output for other views; any backbone.",
    ),
    MethodRecord(
        name="ibot",
        target="lightly_dino.ibot:IBOT",
        config="lightly_dino.ibot_config:IBOTConfig",
        summary="DINO, and predict the teacher's output for masked patches; vision transformers.",
    ),
    MethodRecord(
        name="dinov2",
        target="lightly_dino.dinov2:DINOv2",
        config="lightly_dino.dinov2_config:DINOv2Config",
        summary="DINO, iBOT and KoLeo; also continues from released weights.",
    ),
    MethodRecord(
        name="dinov3",
        target="lightly_dino.dinov3:DINOv3",
        config="lightly_dino.dinov3_config:DINOv3Config",
        summary="DINOv2 whose patches keep the similarities of an earlier teacher.",
    ),
    MethodRecord(
        name="dinov31",
        target="lightly_dino.dinov31:DINOv31",
        config="lightly_dino.dinov31_config:DINOv31Config",
        summary="DINOv2 that aligns how patches resemble each other; to refine trained weights.",
    ),
    MethodRecord(
        name="simdino",
        target="lightly_dino.simdino:SimDINO",
        config="lightly_dino.simdino_config:SimDINOConfig",
        summary="DINO without prototypes: cosine distance and coding rate; any backbone.",
    ),
    MethodRecord(
        name="simdinov2",
        target="lightly_dino.simdinov2:SimDINOv2",
        config="lightly_dino.simdinov2_config:SimDINOv2Config",
        summary="SimDINO with masked patches; vision transformers.",
    ),
)


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the methods."""
    for record in METHODS:
        catalog.add(record)

"""What lightly-simclr adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, hookimpl

LIGHTLY_API = 1


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the methods."""
    catalog.method(
        "simclr",
        target="lightly_simclr.simclr.method:SimCLR",
        config="lightly_simclr.simclr.config:SimCLRConfig",
        summary="Pull two views of an image together, push other images away.",
    )
    catalog.method(
        "dcl",
        target="lightly_simclr.dcl.method:DCL",
        config="lightly_simclr.dcl.config:DCLConfig",
        summary="SimCLR whose gradient does not fade with small batches.",
    )
    catalog.method(
        "dclw",
        target="lightly_simclr.dcl.method:DCLW",
        config="lightly_simclr.dcl.config:DCLWConfig",
        summary="DCL with more weight on views that look unlike.",
    )
    catalog.method(
        "mocov2",
        target="lightly_simclr.mocov2.method:MoCoV2",
        config="lightly_simclr.mocov2.config:MoCoV2Config",
        summary="Find the other view among keys of many earlier images; small batches.",
    )
    catalog.method(
        "mocov3",
        target="lightly_simclr.mocov3.method:MoCoV3",
        config="lightly_simclr.mocov3.config:MoCoV3Config",
        summary="Find the other view, as a slow teacher sees it, in a large batch.",
    )
    catalog.method(
        "nnclr",
        target="lightly_simclr.nnclr.method:NNCLR",
        config="lightly_simclr.nnclr.config:NNCLRConfig",
        summary="SimCLR that pulls an image to its nearest neighbours among earlier ones.",
    )
    catalog.method(
        "densecl",
        target="lightly_simclr.densecl.method:DenseCL",
        config="lightly_simclr.densecl.config:DenseCLConfig",
        summary="MoCo v2 for images and for the positions in them; dense tasks.",
    )

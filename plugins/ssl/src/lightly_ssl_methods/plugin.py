"""What lightly-ssl-methods adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, hookimpl

LIGHTLY_API = 1


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the methods."""
    catalog.method(
        "mae",
        target="lightly_ssl_methods.mae.method:MAE",
        config="lightly_ssl_methods.mae.config:MAEConfig",
        summary="Paint hidden patches from a quarter of the image; vision transformers.",
    )
    catalog.method(
        "simmim",
        target="lightly_ssl_methods.simmim.method:SimMIM",
        config="lightly_ssl_methods.simmim.config:SimMIMConfig",
        summary="Paint hidden patches with one linear layer; vision transformers.",
    )
    catalog.method(
        "msn",
        target="lightly_ssl_methods.msn.method:MSN",
        config="lightly_ssl_methods.msn.config:MSNConfig",
        summary="Match a view with hidden patches to prototypes of a whole one; vision "
        "transformers.",
    )
    catalog.method(
        "pmsn",
        target="lightly_ssl_methods.pmsn.method:PMSN",
        config="lightly_ssl_methods.pmsn.config:PMSNConfig",
        summary="MSN for images whose classes are not equally frequent; vision transformers.",
    )
    catalog.method(
        "ijepa",
        target="lightly_ssl_methods.ijepa.method:IJEPA",
        config="lightly_ssl_methods.ijepa.config:IJEPAConfig",
        summary="Predict a teacher's features of hidden blocks; vision transformers.",
    )
    catalog.method(
        "capi",
        target="lightly_ssl_methods.capi.method:CAPI",
        config="lightly_ssl_methods.capi.config:CAPIConfig",
        summary="Predict to which clusters a teacher's hidden patches belong; vision transformers.",
    )
    catalog.method(
        "lejepa",
        target="lightly_ssl_methods.lejepa.method:LeJEPA",
        config="lightly_ssl_methods.lejepa.config:LeJEPAConfig",
        summary="Bring views together while embeddings stay normally distributed; no teacher.",
    )
    catalog.method(
        "visreg",
        target="lightly_ssl_methods.visreg.method:VISReg",
        config="lightly_ssl_methods.visreg.config:VISRegConfig",
        summary="LeJEPA with terms of their own for scale, shape and centre of embeddings.",
    )
    catalog.method(
        "barlowtwins",
        target="lightly_ssl_methods.barlowtwins.method:BarlowTwins",
        config="lightly_ssl_methods.barlowtwins.config:BarlowTwinsConfig",
        summary="Make channels agree between views and not repeat each other; no negatives.",
    )
    catalog.method(
        "vicreg",
        target="lightly_ssl_methods.vicreg.method:VICReg",
        config="lightly_ssl_methods.vicreg.config:VICRegConfig",
        summary="Bring views together, keep channels spread and uncorrelated; no negatives.",
    )
    catalog.method(
        "tico",
        target="lightly_ssl_methods.tico.method:TiCo",
        config="lightly_ssl_methods.tico.config:TiCoConfig",
        summary="Follow a teacher and keep away from the directions of past images.",
    )
    catalog.method(
        "wmse",
        target="lightly_ssl_methods.wmse.method:WMSE",
        config="lightly_ssl_methods.wmse.config:WMSEConfig",
        summary="Bring whitened views together, in which nothing can collapse.",
    )
    catalog.method(
        "intl",
        target="lightly_ssl_methods.intl.method:INTL",
        config="lightly_ssl_methods.intl.config:INTLConfig",
        summary="Bring views together after an incomplete whitening; batches of 256.",
    )
    catalog.method(
        "frossl",
        target="lightly_ssl_methods.frossl.method:FroSSL",
        config="lightly_ssl_methods.frossl.config:FroSSLConfig",
        summary="Bring views to their mean and keep their spectrum even; short runs.",
    )
    catalog.method(
        "mmcr",
        target="lightly_ssl_methods.mmcr.method:MMCR",
        config="lightly_ssl_methods.mmcr.config:MMCRConfig",
        summary="Let the means of several views of an image point everywhere.",
    )
    catalog.method(
        "emp-ssl",
        target="lightly_ssl_methods.empssl.method:EMPSSL",
        config="lightly_ssl_methods.empssl.config:EMPSSLConfig",
        summary="Bring many crops of an image together; few epochs.",
    )
    catalog.method(
        "vicregl",
        target="lightly_ssl_methods.vicregl.method:VICRegL",
        config="lightly_ssl_methods.vicregl.config:VICRegLConfig",
        summary="VICReg for whole views and for positions that show the same place.",
    )
    catalog.method(
        "byol",
        target="lightly_ssl_methods.byol.method:BYOL",
        config="lightly_ssl_methods.byol.config:BYOLConfig",
        summary="Predict what a slow copy of the network makes of another view; no negatives.",
    )
    catalog.method(
        "simsiam",
        target="lightly_ssl_methods.simsiam.method:SimSiam",
        config="lightly_ssl_methods.simsiam.config:SimSiamConfig",
        summary="Let two views predict each other through one network; no negatives, no teacher.",
    )
    catalog.method(
        "fastsiam",
        target="lightly_ssl_methods.fastsiam.method:FastSiam",
        config="lightly_ssl_methods.fastsiam.config:FastSiamConfig",
        summary="SimSiam with four views, for small batches and few epochs.",
    )
    catalog.method(
        "resa",
        target="lightly_ssl_methods.resa.method:ReSA",
        config="lightly_ssl_methods.resa.config:ReSAConfig",
        summary="Make images alike in the projections that the backbone already finds alike.",
    )

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

"""What lightly-methods adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, MethodRecord, hookimpl

LIGHTLY_API = 2


def _record(name: str, target: str, summary: str) -> MethodRecord:
    """Return the record of ``family.module:Class``, whose options are in ``module_config``."""
    module, _, class_name = f"lightly_methods.{target}".partition(":")
    return MethodRecord(
        name=name,
        target=f"{module}:{class_name}",
        config=f"{module}_config:{class_name}Config",
        summary=summary,
    )


METHODS = (
    # Negatives: one view is found among many.
    _record(
        "simclr",
        "contrastive.simclr:SimCLR",
        "Pull two views of an image together, push other images away.",
    ),
    _record(
        "dcl", "contrastive.dcl:DCL", "SimCLR whose gradient does not fade with small batches."
    ),
    _record("dclw", "contrastive.dcl:DCLW", "DCL with more weight on views that look unlike."),
    _record(
        "mocov2",
        "contrastive.mocov2:MoCoV2",
        "Find the other view among keys of many earlier images; small batches.",
    ),
    _record(
        "mocov3",
        "contrastive.mocov3:MoCoV3",
        "Find the other view, as a slow teacher sees it, in a large batch.",
    ),
    _record(
        "nnclr",
        "contrastive.nnclr:NNCLR",
        "SimCLR that pulls an image to its nearest neighbours among earlier ones.",
    ),
    _record(
        "densecl",
        "contrastive.densecl:DenseCL",
        "MoCo v2 for images and for the positions in them; dense tasks.",
    ),
    # One view is predicted from another, without negatives.
    _record(
        "byol",
        "siamese.byol:BYOL",
        "Predict an EMA teacher's projection of another view; no negatives.",
    ),
    _record(
        "simsiam",
        "siamese.simsiam:SimSiam",
        "Let two views predict each other through one network; no negatives, no teacher.",
    ),
    _record(
        "fastsiam",
        "siamese.fastsiam:FastSiam",
        "SimSiam with four views, for small batches and few epochs.",
    ),
    _record(
        "resa",
        "siamese.resa:ReSA",
        "Make images alike in the projections that the backbone already finds alike.",
    ),
    # Views are assigned to clusters.
    _record(
        "swav",
        "clustering.swav:SwAV",
        "Predict from local views to which prototypes a global view is assigned.",
    ),
    _record(
        "swavqueue",
        "clustering.swav:SwAVQueue",
        "SwAV with a queue of earlier images, for batches of some hundred.",
    ),
    _record(
        "smog",
        "clustering.smog:SMoG",
        "Contrast images with groups that follow the features in every step.",
    ),
    _record(
        "deepclusterv2",
        "clustering.deepclusterv2:DeepClusterV2",
        "Predict the cluster that k-means found each image in after the last epoch.",
    ),
    # The embeddings of a batch are spread and decorrelated.
    _record(
        "barlowtwins",
        "decorrelation.barlowtwins:BarlowTwins",
        "Make views agree in each dimension, and no two dimensions redundant; no negatives.",
    ),
    _record(
        "vicreg",
        "decorrelation.vicreg:VICReg",
        "Make views equal, with variance in all dimensions and no correlation; no negatives.",
    ),
    _record(
        "vicregl",
        "decorrelation.vicregl:VICRegL",
        "VICReg for whole views and for matched positions of their feature maps.",
    ),
    _record(
        "tico",
        "decorrelation.tico:TiCo",
        "Predict a teacher's embedding, and avoid the directions of past images.",
    ),
    _record(
        "wmse",
        "decorrelation.wmse:WMSE",
        "Compare views after whitening them, so that they cannot collapse.",
    ),
    _record(
        "intl",
        "decorrelation.intl:INTL",
        "Compare views after an incomplete whitening; batches of 256.",
    ),
    _record(
        "frossl",
        "decorrelation.frossl:FroSSL",
        "Pull views to their mean and keep their spectrum even; short runs.",
    ),
    _record(
        "mmcr",
        "decorrelation.mmcr:MMCR",
        "Let the means over several views of an image use all directions.",
    ),
    _record(
        "emp-ssl",
        "decorrelation.empssl:EMPSSL",
        "Pull many crops of an image to their mean; few epochs.",
    ),
    _record(
        "lejepa",
        "decorrelation.lejepa:LeJEPA",
        "Pull views together while embeddings stay normally distributed; no teacher.",
    ),
    _record(
        "visreg",
        "decorrelation.visreg:VISReg",
        "LeJEPA with a term each for scale, shape and centre of the embeddings.",
    ),
    # Hidden patches are predicted.
    _record(
        "mae",
        "masked.mae:MAE",
        "Paint hidden patches from a quarter of the image; vision transformers.",
    ),
    _record(
        "simmim",
        "masked.simmim:SimMIM",
        "Paint hidden patches with one linear layer; vision transformers.",
    ),
    _record(
        "msn",
        "masked.msn:MSN",
        "Match a view with hidden patches to prototypes of a whole one; vision transformers.",
    ),
    _record(
        "pmsn",
        "masked.pmsn:PMSN",
        "MSN for images whose classes are not equally frequent; vision transformers.",
    ),
    _record(
        "ijepa",
        "masked.ijepa:IJEPA",
        "Predict a teacher's features of hidden blocks; vision transformers.",
    ),
    _record(
        "capi",
        "masked.capi:CAPI",
        "Predict to which clusters a teacher's hidden patches belong; vision transformers.",
    ),
)


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the methods."""
    for record in METHODS:
        catalog.add(record)

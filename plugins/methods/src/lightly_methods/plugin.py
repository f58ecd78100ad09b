"""What lightly-methods adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, hookimpl

LIGHTLY_API = 1

#: Name, module and class, and summary of each method, by the folder of its family.
_FAMILIES = {
    "contrastive": (
        ("simclr", "simclr:SimCLR", "Pull two views of an image together, push other images away."),
        ("dcl", "dcl:DCL", "SimCLR whose gradient does not fade with small batches."),
        ("dclw", "dcl:DCLW", "DCL with more weight on views that look unlike."),
        (
            "mocov2",
            "mocov2:MoCoV2",
            "Find the other view among keys of many earlier images; small batches.",
        ),
        (
            "mocov3",
            "mocov3:MoCoV3",
            "Find the other view, as a slow teacher sees it, in a large batch.",
        ),
        (
            "nnclr",
            "nnclr:NNCLR",
            "SimCLR that pulls an image to its nearest neighbours among earlier ones.",
        ),
        (
            "densecl",
            "densecl:DenseCL",
            "MoCo v2 for images and for the positions in them; dense tasks.",
        ),
    ),
    "siamese": (
        (
            "byol",
            "byol:BYOL",
            "Predict what a slow copy of the network makes of another view; no negatives.",
        ),
        (
            "simsiam",
            "simsiam:SimSiam",
            "Let two views predict each other through one network; no negatives, no teacher.",
        ),
        (
            "fastsiam",
            "fastsiam:FastSiam",
            "SimSiam with four views, for small batches and few epochs.",
        ),
        (
            "resa",
            "resa:ReSA",
            "Make images alike in the projections that the backbone already finds alike.",
        ),
    ),
    "clustering": (
        (
            "swav",
            "swav:SwAV",
            "Predict from small crops to which prototypes a large one is assigned.",
        ),
        (
            "swavqueue",
            "swav:SwAVQueue",
            "SwAV with a queue of earlier images, for batches of some hundred.",
        ),
        (
            "smog",
            "smog:SMoG",
            "Contrast images with groups that follow the features in every step.",
        ),
        (
            "deepclusterv2",
            "deepclusterv2:DeepClusterV2",
            "Predict the cluster that k-means found each image in after the last epoch.",
        ),
    ),
    "decorrelation": (
        (
            "barlowtwins",
            "barlowtwins:BarlowTwins",
            "Make channels agree between views and not repeat each other; no negatives.",
        ),
        (
            "vicreg",
            "vicreg:VICReg",
            "Bring views together, keep channels spread and uncorrelated; no negatives.",
        ),
        (
            "vicregl",
            "vicregl:VICRegL",
            "VICReg for whole views and for positions that show the same place.",
        ),
        ("tico", "tico:TiCo", "Follow a teacher and keep away from the directions of past images."),
        ("wmse", "wmse:WMSE", "Bring whitened views together, in which nothing can collapse."),
        (
            "intl",
            "intl:INTL",
            "Bring views together after an incomplete whitening; batches of 256.",
        ),
        (
            "frossl",
            "frossl:FroSSL",
            "Bring views to their mean and keep their spectrum even; short runs.",
        ),
        ("mmcr", "mmcr:MMCR", "Let the means of several views of an image point everywhere."),
        ("emp-ssl", "empssl:EMPSSL", "Bring many crops of an image together; few epochs."),
        (
            "lejepa",
            "lejepa:LeJEPA",
            "Bring views together while embeddings stay normally distributed; no teacher.",
        ),
        (
            "visreg",
            "visreg:VISReg",
            "LeJEPA with terms of their own for scale, shape and centre of embeddings.",
        ),
    ),
    "masked": (
        (
            "mae",
            "mae:MAE",
            "Paint hidden patches from a quarter of the image; vision transformers.",
        ),
        (
            "simmim",
            "simmim:SimMIM",
            "Paint hidden patches with one linear layer; vision transformers.",
        ),
        (
            "msn",
            "msn:MSN",
            "Match a view with hidden patches to prototypes of a whole one; vision transformers.",
        ),
        (
            "pmsn",
            "pmsn:PMSN",
            "MSN for images whose classes are not equally frequent; vision transformers.",
        ),
        (
            "ijepa",
            "ijepa:IJEPA",
            "Predict a teacher's features of hidden blocks; vision transformers.",
        ),
        (
            "capi",
            "capi:CAPI",
            "Predict to which clusters a teacher's hidden patches belong; vision transformers.",
        ),
    ),
}


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Register the methods."""
    for family, methods in _FAMILIES.items():
        for name, target, summary in methods:
            module, _, class_name = target.partition(":")
            path = f"lightly_methods.{family}.{module}"
            catalog.method(
                name,
                target=f"{path}:{class_name}",
                config=f"{path}_config:{class_name}Config",
                summary=summary,
            )

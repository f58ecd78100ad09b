"""Names that the plugins of this project provide, to suggest which one to install.

Only distributions in this list are suggested. Anyone could publish a package under another name.
"""

from __future__ import annotations

from lightly_core.plugins.records import Kind

#: Names that users type, by kind and by the distribution that provides them.
PUBLISHED: dict[Kind, dict[str, tuple[str, ...]]] = {
    "method": {
        "lightly-dino": ("dino", "dinov2", "dinov3", "dinov31", "ibot", "simdino", "simdinov2"),
        "lightly-distillation": ("distillation", *(f"distillationv{n}" for n in (1, 2, 3))),
        "lightly-methods": (
            *("barlowtwins", "byol", "capi", "dcl", "dclw", "deepclusterv2", "densecl", "emp-ssl"),
            *("fastsiam", "frossl", "ijepa", "intl", "lejepa", "mae", "mmcr", "mocov2", "mocov3"),
            *("msn", "nnclr", "pmsn", "resa", "simclr", "simmim", "simsiam", "smog", "swav"),
            *("swavqueue", "tico", "vicreg", "vicregl", "visreg", "wmse"),
        ),
    },
    "models": {
        "lightly-dinov2": ("dinov2",),
        "lightly-dinov3": ("dinov3",),
        "lightly-timm": ("timm",),
        "lightly-torchvision": ("torchvision",),
        "lightly-ultralytics": ("ultralytics",),
    },
    "logger": {
        "lightly-mlflow": ("mlflow",),
        "lightly-wandb": ("wandb",),
    },
    "format": {
        "lightly-timm": ("timm",),
        "lightly-ultralytics": ("ultralytics",),
    },
    "source": {
        "lightly-huggingface": ("huggingface",),
        "lightly-webdataset": ("webdataset",),
    },
    "launcher": {
        "lightly-ray": ("ray",),
        "lightly-slurm": ("slurm",),
    },
}

#: Data sources of these plugins by the scheme or the ending that they open.
OPENED = {
    **dict.fromkeys(("hf", ".parquet"), "huggingface"),
    **dict.fromkeys(("wds", ".tar"), "webdataset"),
}


def distribution_of(kind: Kind, name: str) -> str | None:
    """Return the distribution of this project that provides a name, or None."""
    for distribution, names in PUBLISHED.get(kind, {}).items():
        if name in names:
            return distribution
    return None

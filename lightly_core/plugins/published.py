"""What the plugins of this project provide, for the advice to install one.

Only distributions on this list are ever suggested. A name that nobody has published today may be
a stranger's package tomorrow.
"""

from __future__ import annotations

from lightly_core.plugins.records import Kind

#: Names that users type, by kind and by the distribution that provides them.
PUBLISHED: dict[Kind, dict[str, tuple[str, ...]]] = {
    "method": {
        "lightly-dino": ("dino", "dinov2", "dinov3", "dinov31", "ibot", "simdino", "simdinov2"),
        "lightly-distillation": ("distillation", *(f"distillationv{n}" for n in (1, 2, 3))),
        "lightly-simclr": ("dcl", "dclw", "densecl", "mocov2", "mocov3", "nnclr", "simclr"),
        "lightly-ssl-methods": (
            *("barlowtwins", "byol", "capi", "deepclusterv2", "emp-ssl", "fastsiam", "frossl"),
            *("ijepa", "intl", "lejepa", "mae", "mmcr", "msn", "pmsn", "resa", "simmim"),
            *("simsiam", "smog", "swav", "swavqueue", "tico", "vicreg", "vicregl", "visreg"),
            "wmse",
        ),
    },
    "models": {
        "lightly-dinov2": ("dinov2",),
        "lightly-dinov3": ("dinov3",),
        "lightly-timm": ("timm",),
        "lightly-torchvision": ("torchvision",),
        "lightly-ultralytics": ("ultralytics",),
    },
}


def distribution_of(kind: Kind, name: str) -> str | None:
    """Return the distribution of this project that provides a name; None where none does."""
    for distribution, names in PUBLISHED.get(kind, {}).items():
        if name in names:
            return distribution
    return None

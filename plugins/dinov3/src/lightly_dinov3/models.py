"""The models of DINOv3 and the files that Meta publishes. Imported at start-up, so no torch here.

Siméoni et al. 2025, https://arxiv.org/abs/2508.10104. Names of the files, which end in the first
eight digits of their sha256: https://github.com/facebookresearch/dinov3
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Where Meta provides links to the files, after its licence was accepted.
DOWNLOAD_PAGE = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/"

#: Licence of the weights.
LICENCE = "DINOv3 License (weights)"

_PUBLISHED = re.compile(r"dinov3_\w+_pretrain_\w+-([0-9a-f]{8})\.pth")


@dataclass(frozen=True)
class Model:
    """One name that users type.

    Attributes:
        timm_name: timm's name of the architecture.
        hub_name: Name in Meta's ``torch.hub`` code; None for sizes that are not Meta's.
        width: Dimension of the features.
        file: The file that Meta publishes; None where the model starts from random weights.
        arguments: Changes to timm's architecture.
    """

    timm_name: str
    hub_name: str | None
    width: int
    file: str | None
    arguments: dict[str, int] = field(default_factory=dict)

    @property
    def is_convnext(self) -> bool:
        """Whether it is a ConvNeXt and not a vision transformer."""
        return self.timm_name.startswith("convnext")


def _transformer(
    word: str, hub_name: str, width: int, digits: str, *, biased: bool = True
) -> tuple[str, Model]:
    # timm has each size without and with biases of queries and values, which training may need.
    timm_name = f"vit_{word}_patch16_dinov3{'_qkvb' if biased else ''}"
    file = f"{hub_name}_pretrain_lvd1689m-{digits}.pth"
    return hub_name.removeprefix("dinov3_"), Model(timm_name, hub_name, width, file)


def _convnext(word: str, width: int, digits: str) -> tuple[str, Model]:
    hub_name = f"dinov3_convnext_{word}"
    file = f"{hub_name}_pretrain_lvd1689m-{digits}.pth"
    return f"convnext-{word}", Model(f"convnext_{word}", hub_name, width, file)


def _tiny(name: str, word: str) -> tuple[str, Model]:
    # Dimension, depth and heads of ViT-Tiny (https://arxiv.org/abs/2012.12877) in the small model.
    arguments = {"embed_dim": 192, "depth": 12, "num_heads": 3}
    return name, Model(f"vit_{word}_patch16_dinov3_qkvb", None, 192, None, arguments)


_SIZES = dict(
    [
        _transformer("small", "dinov3_vits16", 384, "08c60483"),
        _transformer("small_plus", "dinov3_vits16plus", 384, "4057cbaa"),
        _transformer("base", "dinov3_vitb16", 768, "73cec8be"),
        _transformer("large", "dinov3_vitl16", 1024, "8aa4cbdd"),
        _transformer("huge_plus", "dinov3_vith16plus", 1280, "7c1da9a5"),
        _transformer("7b", "dinov3_vit7b16", 4096, "a955f4ea", biased=False),
        _tiny("vitt16", "small"),
        _tiny("vitt16plus", "small_plus"),
        _convnext("tiny", 768, "21b726bb"),
        _convnext("small", 768, "296db49d"),
        _convnext("base", 1024, "801f2ba9"),
        _convnext("large", 1536, "61fa432d"),
    ]
)


def _unpublished(model: Model) -> Model:
    return Model(model.timm_name, model.hub_name, model.width, None, model.arguments)


#: All models by name.
MODELS = {
    **_SIZES,
    **{f"{name}-notpretrained": _unpublished(model) for name, model in _SIZES.items()},
}

#: Transformer of each dimension, for error messages.
SIZE_OF_WIDTH = {
    model.width: name for name, model in reversed(_SIZES.items()) if not name.startswith("convnext")
}


def published_sha256(file_name: str) -> str | None:
    """Return the first digits of a file's sha256 if this is the name of a published file."""
    match = _PUBLISHED.fullmatch(file_name)
    return match[1] if match else None

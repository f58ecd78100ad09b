"""The models of DINOv2 and the files that Meta publishes. Imported at start-up, so no torch here.

Oquab et al. 2023, https://arxiv.org/abs/2304.07193; with registers: Darcet et al. 2023,
https://arxiv.org/abs/2309.16588. Names and addresses: https://github.com/facebookresearch/dinov2
"""

from __future__ import annotations

from dataclasses import dataclass

_BASE_URL = "https://dl.fbaipublicfiles.com/dinov2"

#: timm's word for each size, and the dimension of its tokens.
_SIZES = {
    "vits14": ("small", 384),
    "vitb14": ("base", 768),
    "vitl14": ("large", 1024),
    "vitg14": ("giant", 1536),
}


@dataclass(frozen=True)
class Model:
    """One name that users type.

    Attributes:
        timm_name: timm's name of the architecture.
        hub_name: Name in Meta's ``torch.hub`` code.
        width: Dimension of the tokens.
        registers: Whether it has the four register tokens.
        url: Where Meta publishes the weights; None for a model that starts from random weights.
    """

    timm_name: str
    hub_name: str
    width: int
    registers: bool
    url: str | None


def _model(size: str, *, registers: bool, pretrained: bool) -> Model:
    word, width = _SIZES[size]
    file = f"dinov2_{size}{'_reg4' if registers else ''}_pretrain.pth"
    return Model(
        timm_name=f"vit_{word}_patch14_{'reg4_' if registers else ''}dinov2",
        hub_name=f"dinov2_{size}{'_reg' if registers else ''}",
        width=width,
        registers=registers,
        url=f"{_BASE_URL}/dinov2_{size}/{file}" if pretrained else None,
    )


#: All models by name.
MODELS = {
    f"{size}{'' if registers else '-noreg'}{'' if pretrained else '-notpretrained'}": _model(
        size, registers=registers, pretrained=pretrained
    )
    for size in _SIZES
    for registers in (True, False)
    for pretrained in (True, False)
}

#: Size of each dimension, for error messages.
SIZE_OF_WIDTH = {width: size for size, (_, width) in _SIZES.items()}

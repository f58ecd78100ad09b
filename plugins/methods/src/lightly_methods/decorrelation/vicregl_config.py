"""Options of VICRegL (Bardes et al. 2022, https://arxiv.org/abs/2210.01571)."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, Requires, at_least, byol_views, zero_to_one
from lightly_methods.decorrelation.vicreg_config import VICRegConfig


@define(frozen=True, kw_only=True)
class VICRegLConfig(VICRegConfig):
    """Options of VICRegL. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Bardes et al. 2022",
        arxiv="2210.01571",
        needs="feature map",
        use="vicreg whose positions are of use too: segmentation, detection",
    )
    requires = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2, crops=True
    )
    metrics = ("train_loss/image", "train_loss/feature_match", "train_loss/location_match")
    # The README's command for ResNet-50 (two crops from 0.08 of the image) and transforms.py.
    # For ConvNeXt it has crops from 0.4 on and six local views of 96 pixels from 0.08 to 0.4.
    views = byol_views()

    alpha: float = field(
        default=0.75,
        validator=zero_to_one,
        metadata={
            "help": "weight of whole views; the rest to 1 is the weight of positions; the paper "
            "has 0.9 for classification and 0.75 for segmentation"
        },
    )
    num_matches: tuple[int, int] = field(
        default=(20, 4),
        metadata={
            "help": "positions of a global view, and of the view that it is compared with, that "
            "are matched with the other view: those with the nearest neighbours; at most all"
        },
    )

    @num_matches.validator
    def _some_matches(self, attribute: object, value: tuple[int, int]) -> None:
        if min(value) < 1:
            raise ValueError(f"'num_matches' must be two numbers >= 1, got {value}")

    # Released: l2_all_matches=1, the default of main_vicregl.py.
    match_all_features: bool = field(
        default=True,
        metadata={
            "help": "match all positions by their embeddings, and num_matches by their locations, "
            "as in the authors' code; false: num_matches by both, as in the paper"
        },
    )
    local_hidden_dim: int = field(
        default=512,
        validator=ge(1),
        metadata={"help": "dimension of the hidden layers of the projector of positions"},
    )
    local_output_dim: int = field(
        default=512,
        validator=ge(1),
        metadata={"help": "dimension of the space in which positions are compared"},
    )
    local_norm: Literal["batch", "layer"] = field(
        default="batch",
        metadata={"help": "norm in the projector of positions; the paper has layer for ConvNeXt"},
    )

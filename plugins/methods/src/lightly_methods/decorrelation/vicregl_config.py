"""Options of VICRegL (Bardes et al. 2022, https://arxiv.org/abs/2210.01571)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.checks import share
from lightly_core.config.method import MethodCard
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.decorrelation.vicreg_config import VICRegConfig


@define(frozen=True, kw_only=True)
class VICRegLConfig(VICRegConfig):
    """Options of VICRegL; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/image",
        "train_loss/feature_match",
        "train_loss/location_match",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Bardes et al. 2022",
        arxiv="2210.01571",
        needs="feature map",
        use="vicreg whose positions are of use too: segmentation, detection",
    )
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2, crops=True
    )

    alpha: float = field(
        default=0.75,
        validator=share,
        metadata={
            "help": "weight of whole images, the rest to 1 is the weight of positions; the paper "
            "has 0.9 for classification and 0.75 for segmentation"
        },
    )
    num_matches: tuple[int, int] = field(
        default=(20, 4),
        metadata={
            "help": "positions of a large view, and of the view it is compared with, that are "
            "matched with the other view: those nearest to a position there; at most all"
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
            "help": "match all positions by their features, and num_matches by their places, as in "
            "the authors' code; false: num_matches by both, as in the paper"
        },
    )
    local_hidden_dim: int = field(
        default=512,
        validator=ge(1),
        metadata={"help": "width of the hidden layers of the projector of positions"},
    )
    local_output_dim: int = field(
        default=512,
        validator=ge(1),
        metadata={"help": "width of the space in which positions are compared"},
    )
    local_norm: Literal["batch", "layer"] = field(
        default="batch",
        metadata={"help": "norm in the projector of positions; the paper has layer for ConvNeXt"},
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return BYOL's two large views; small ones can be added as ``local_view``."""
        # The README's command for ResNet-50 (two crops from 0.08 of the image) and transforms.py.
        # For ConvNeXt it has crops from 0.4 on and six small ones of 96 pixels from 0.08 to 0.4.
        return byol_views()

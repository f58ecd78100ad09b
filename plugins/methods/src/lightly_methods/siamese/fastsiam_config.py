"""Options of FastSiam (Pototzky et al. 2022, https://doi.org/10.1007/978-3-031-16788-1_4)."""

from __future__ import annotations

from attrs import define

from lightly_core.config.method import MethodCard, Requires, at_least, moco_views
from lightly_methods.siamese.simsiam_config import SimSiamConfig


@define(frozen=True, kw_only=True)
class FastSiamConfig(SimSiamConfig):
    """Options of SimSiam, for four views."""

    shardable = True

    card = MethodCard(
        paper="Pototzky et al. 2022",
        url="https://doi.org/10.1007/978-3-031-16788-1_4",
        use="SimSiam for few epochs and batches of some dozen images",
    )
    requires = Requires(global_views=at_least(2), images_per_process=2)
    views = moco_views(num_views=4)

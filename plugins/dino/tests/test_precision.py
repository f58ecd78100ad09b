import pytest
import torch

from lightly_dino.dino import DINO
from lightly_dino.dino_config import DINOConfig
from lightly_dino.dinov2 import DINOv2
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.dinov3 import DINOv3
from lightly_dino.dinov3_config import DINOv3Config
from lightly_dino.dinov31 import DINOv31
from lightly_dino.dinov31_config import DINOv31Config
from lightly_dino.ibot import IBOT
from lightly_dino.ibot_config import IBOTConfig
from lightly_dino.simdino import SimDINO
from lightly_dino.simdino_config import SimDINOConfig
from lightly_dino.simdinov2 import SimDINOv2
from lightly_dino.simdinov2_config import SimDINOv2Config

CASES = {
    "dino": (DINO, DINOConfig, {"centering": "sinkhorn"}),
    "ibot": (IBOT, IBOTConfig, {}),
    "dinov2": (DINOv2, DINOv2Config, {}),
    "dinov3": (DINOv3, DINOv3Config, {"gram_start_step": 0}),
    "dinov31": (DINOv31, DINOv31Config, {"paka_grid": 2}),
    "simdino": (SimDINO, SimDINOConfig, {}),
    "simdinov2": (SimDINOv2, SimDINOv2Config, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_losses_are_taken_in_single_precision_under_autocast(build, make_batch, name):
    method_class, config_class, options = CASES[name]
    method = build(method_class, config_class, anchor_weight=0.5, **options)
    batch = make_batch(method)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = method.training_step(batch, 0)
    result.loss.backward()
    assert result.loss.dtype == torch.float32
    again = method.training_step(batch, 0)
    torch.testing.assert_close(result.loss, again.loss, rtol=0.05, atol=0.05)
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.requires_grad)

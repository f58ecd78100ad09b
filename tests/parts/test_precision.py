import torch

from lightly_core.parts.precision import no_autocast


def test_products_keep_single_precision_inside_and_only_there():
    x = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with no_autocast(x.device):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


def test_a_device_without_autocast_is_left_alone():
    x = torch.ones(2, 2, device="meta")
    with no_autocast(x.device):
        assert (x @ x).dtype == torch.float32

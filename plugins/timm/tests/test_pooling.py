"""How pooling is found in modules that have the shapes of timm's, but none of its functions."""

import pytest
import torch
from torch import nn

from lightly_timm.pooling import Pool, apply_pool, find_pool


class Layer(nn.Module):
    """Pools by the maximum, which no other way of pooling does."""

    def forward(self, x):
        return x.amax(dim=(2, 3))


@pytest.mark.parametrize("path", ["global_pool", "head.global_pool"])
def test_a_layer_that_is_called_global_pool_is_used(path):
    model = nn.Module()
    *parents, name = path.split(".")
    for parent in parents:
        setattr(model, parent, nn.Module())
    setattr(model.get_submodule(".".join(parents)), name, Layer())
    raw = torch.randn(2, 5, 3, 3)
    pool = find_pool(model, raw, 5, has_head=False, has_prefix=False)
    assert pool == Pool("module", path)
    assert torch.equal(apply_pool(model, pool, raw), raw.amax(dim=(2, 3)))


def test_a_layer_of_another_name_or_width_is_no_pooling():
    model = nn.Module()
    model.global_pooling = Layer()
    raw = torch.randn(2, 5, 3, 3)
    assert find_pool(model, raw, 5, has_head=False, has_prefix=False) == Pool("mean")
    model.global_pool = nn.Sequential(Layer(), nn.Linear(5, 4))
    assert find_pool(model, raw, 5, has_head=False, has_prefix=False) == Pool("mean")


def test_a_class_token_is_used_where_the_model_says_so():
    model = nn.Module()
    model.global_pool = "token"
    raw = torch.randn(2, 10, 5)
    assert find_pool(model, raw, 5, has_head=False, has_prefix=True) == Pool("token")
    assert find_pool(model, raw, 5, has_head=False, has_prefix=False) == Pool("mean")
    model.global_pool = "avg"
    assert find_pool(model, raw, 5, has_head=False, has_prefix=True) == Pool("mean")

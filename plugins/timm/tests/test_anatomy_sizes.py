"""The image sizes at which a model is tried come from the model itself."""

import pytest
from torch import nn


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (96, [(96, 96)]),
        ((96, 64), [(96, 64)]),
        ([96, 64], [(96, 64)]),
        ((3, 96, 64), []),
        (None, []),
    ],
)
def test_image_sizes_of_the_layers_are_read(value, expected):
    from lightly_timm.anatomy import _named_sizes

    model = nn.Sequential(nn.Identity(), nn.Identity())
    model[1].img_size = value
    assert _named_sizes(model) == expected

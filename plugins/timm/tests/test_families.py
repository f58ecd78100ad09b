"""Every family of timm, and the list of its models."""

from pathlib import Path

import pytest
import timm

import lightly_timm
from lightly_timm.coverage import cover, families, smallest_model
from lightly_timm.names import first_line, model_names

MOST_PARAMETERS = 60_000_000


def test_the_list_for_the_command_line_is_that_of_timm():
    first, *listed = Path(lightly_timm.__file__).with_name("models.txt").read_text().splitlines()
    if first == first_line():
        assert listed == model_names()
    # What a version lists, later ones hardly ever drop; a list of rubbish shares little.
    assert len(set(listed) & set(model_names())) > 0.9 * len(listed)
    assert {"resnet50", "vit_base_patch16_dinov3.lvd1689m"} <= set(listed)


@pytest.mark.parametrize("name", ["test_vit", "test_byobnet", "test_mambaout"])
def test_covering_a_model_tells_what_it_did(name):
    found = cover(name)
    assert found.sizes == ((128, 128), (128, 256))
    assert found.grids[1] == (found.grids[0][0], 2 * found.grids[0][1])
    assert found.parameters == sum(p.numel() for p in timm.create_model(name).parameters())
    assert all("head" in unused for unused in found.unused)
    on_meta = cover(name, on_meta=True)
    assert on_meta == found


@pytest.mark.slow
@pytest.mark.parametrize("family", families())
def test_the_smallest_model_of_every_family(family):
    name, parameters = smallest_model(family)
    found = cover(name, on_meta=parameters > MOST_PARAMETERS)
    assert found.parameters == parameters

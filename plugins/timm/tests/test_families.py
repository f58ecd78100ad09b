"""Every family of timm, and the list of its models."""

import gc
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from circles import mark_others
from packaging.version import Version

import lightly_timm
from lightly_core.models.probing import freeze_unused

# Most of the time would go into drawing weights.
pytestmark = pytest.mark.usefixtures("quick_numbers")

MOST_PARAMETERS = 60_000_000
TABLE = Path(__file__).parents[3] / "docs/model-coverage/timm.md"
TABLES_VERSION = Version(re.search(r"and timm ([\d.]+)\.", TABLE.read_text())[1])
#: The smallest model of each family and a side in pixels that it takes, by family.
SMALLEST = {
    family: (name, int(side))
    for name, family, side in re.findall(
        r"^\| timm/(\S+) \| (\w+) \|.*?x\d+ at (\d+) \|", TABLE.read_text(), re.MULTILINE
    )
}
#: Families that the second circle tries. A model takes seconds, and the third one tries all others.
MOST_USED = (
    *("vision_transformer", "resnet", "convnext", "efficientnet", "mobilenetv3", "regnet"),
    *("swin_transformer", "eva", "beit", "deit", "densenet", "vgg", "maxxvit", "byobnet"),
    *("hiera", "fastvit", "naflexvit", "xcit", "mlp_mixer", "levit", "tiny_vit", "nfnet"),
    *("vision_transformer_hybrid", "mobilevit", "metaformer", "pvt_v2", "twins", "rexnet"),
)


@dataclass(frozen=True)
class Coverage:
    """What a model did.

    `sizes` are the image sizes that were tried, `grids` the feature positions at these sizes, and
    `unused` the parameters that features and pooling do not depend on: the classifier.
    """

    parameters: int
    sizes: tuple
    grids: tuple
    unused: tuple


def cover(name, side=64, on_meta=False):
    """Run a model forward at two image sizes, or the one that it takes, and backward.

    `on_meta` does it without numbers, for models too large for memory. Only shapes are checked
    then, and which parameters get a gradient.
    """
    from lightly_timm.building import build
    from lightly_timm.wrapping import wrap_timm

    model, _ = build(name, 3, {}, without_memory=on_meta)
    wrapper = wrap_timm(model, 3)
    sizes = image_sizes(wrapper, side)
    batches = [torch.randn(2, 3, *size).to("meta" if on_meta else "cpu") for size in sizes]
    wrapper.eval()
    with torch.no_grad():
        grids = [forward(wrapper, images) for images in batches]
    if len(sizes) > 1 and wrapper._anatomy.grid is None:
        assert grids[0][1] < grids[1][1], f"grids {grids} do not grow with the images"
    unused = backward(wrapper, batches[0])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Coverage(parameters, tuple(sizes), tuple(grids), tuple(unused))


def image_sizes(wrapper, side):
    anatomy = wrapper._anatomy
    if not anatomy.any_size:
        return [anatomy.size]
    step = math.lcm(32, *anatomy.multiple)
    side = -(-side // step) * step
    return [(side, side), (side, 2 * side)]


def forward(wrapper, images):
    dim = wrapper.feature_dim()
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"]
    batch, width, rows, columns = found["features"].shape
    assert (batch, width) == (2, dim)
    assert pooled.shape == (2, dim, 1, 1)
    if images.device.type != "meta":
        assert found["features"].isfinite().all()
        assert pooled.isfinite().all()
    if "cls_token" in found:
        assert found["cls_token"].shape == (2, dim)
    return rows, columns


def backward(wrapper, images):
    """Take the gradients of one step; return the parameters that nothing depends on."""
    unused = freeze_unused(wrapper, images.shape[1], (images.shape[-2], images.shape[-1]))
    wrapper.train()
    found = wrapper.forward_features(images)
    outputs = {**found, **wrapper.forward_pool(found)}
    sums = [(value * torch.randn_like(value)).sum() for value in outputs.values()]
    torch.stack(sums).sum().backward()
    trainable = {n: p for n, p in wrapper.named_parameters() if p.requires_grad}
    assert [name for name, parameter in trainable.items() if parameter.grad is None] == []
    assert len(trainable) > len(unused)
    assert sum(parameter.numel() for parameter in trainable.values()) > 0
    return unused


def test_the_list_for_the_command_line_is_that_of_timm():
    from lightly_timm.names import first_line, model_names

    first, *listed = Path(lightly_timm.__file__).with_name("models.txt").read_text().splitlines()
    if first == first_line():
        assert listed == model_names()
    # What a version lists, later ones hardly ever drop; a list of rubbish shares little.
    assert len(set(listed) & set(model_names())) > 0.9 * len(listed)
    assert {"resnet50", "vit_base_patch16_dinov3.lvd1689m"} <= set(listed)


@pytest.mark.families
@pytest.mark.parametrize("name", ["test_vit", "test_byobnet", "test_mambaout"])
def test_covering_a_model_tells_what_it_did(name):
    import timm

    found = cover(name)
    assert found.sizes == ((64, 64), (64, 128))
    assert found.grids[1] == (found.grids[0][0], 2 * found.grids[0][1])
    assert found.parameters == sum(p.numel() for p in timm.create_model(name).parameters())
    assert all("head" in unused for unused in found.unused)
    on_meta = cover(name, on_meta=True)
    assert on_meta == found


@pytest.mark.families
@pytest.mark.parametrize("family", mark_others(pytest.mark.exhaustive, SMALLEST, *MOST_USED))
def test_the_smallest_model_of_every_family(family):
    import timm

    from lightly_timm.building import create_without_memory

    name, side = SMALLEST[family]
    if Version(timm.__version__) < TABLES_VERSION and name not in timm.list_models(module=family):
        pytest.skip(f"timm {timm.__version__} is older than that of the table, {TABLES_VERSION}")
    assert name in timm.list_models(module=family)
    parameters = sum(p.numel() for p in create_without_memory(name).parameters())
    assert cover(name, side, parameters > MOST_PARAMETERS).parameters == parameters
    gc.collect()


@pytest.mark.families
def test_families_that_the_table_does_not_have_yet_work_too():
    from lightly_timm.coverage import families, smallest_model

    assert len(SMALLEST) > 90
    assert SMALLEST.keys() >= set(MOST_USED)
    for family in set(families()) - SMALLEST.keys():
        name, parameters = smallest_model(family)
        assert cover(name, on_meta=parameters > MOST_PARAMETERS).parameters == parameters


@pytest.mark.families
@pytest.mark.parametrize("family", ["convit", "tnt", "tresnet"])
def test_the_table_has_the_smallest_model(family):
    import timm

    from lightly_timm.coverage import smallest_model

    name, parameters = smallest_model(family)
    assert name == SMALLEST[family][0]
    sizes = {
        other: sum(p.numel() for p in timm.create_model(other).parameters())
        for other in timm.list_models(module=family)
    }
    assert (parameters, len(sizes) > 1) == (min(sizes.values()), True)

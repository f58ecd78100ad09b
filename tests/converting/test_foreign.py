"""Exported files in the tools that they are for, without our packages."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from circles import mark_others
from PIL import Image

import lightly_core
from lightly_core.config.options.augmentations import NormalizeArgs
from lightly_core.data.views.two_stage import EvalTransform

TOOL = Path(__file__).parents[2] / "tools" / "export_table.py"

pytestmark = pytest.mark.families

MODELS = (
    *("torchvision/resnet18", "timm/test_vit", "dinov2/vits14", "dinov3/vits16"),
    *("ultralytics/yolov8n.yaml", "a module of your own"),
)
#: What cannot be written. All else must load and give the same.
ONLY_FOR = {
    "timm": {"timm/test_vit"},
    "ultralytics": {"ultralytics/yolov8n.yaml"},
    "huggingface": {"torchvision/resnet18", "timm/test_vit", "dinov2/vits14", "dinov3/vits16"},
}


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("export_table", TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "export_table", module)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("own", None)


@pytest.mark.parametrize("name", mark_others(pytest.mark.exhaustive, MODELS, "timm/test_vit"))
def test_the_code_of_every_format_gives_the_same_without_our_packages(tool, name):
    assert set(tool.MODELS) == set(MODELS)
    found = tool.compare([name])
    formats = {key.partition("|")[2] for key in found}
    assert formats >= set(lightly_core.list_formats())
    refused = {key for key, value in found.items() if isinstance(value, str)}
    assert refused == {f"{name}|{own}" for own, models in ONLY_FOR.items() if name not in models}
    allowed = {"huggingface": 1e-3, "onnx": 1e-4}
    large = {
        key: value
        for key, value in found.items()
        if not isinstance(value, str) and not value <= allowed.get(key.partition("|")[2], 1e-5)
    }
    assert large == {}


@pytest.mark.parametrize("side", [112, 32])
def test_processors_give_the_pixels_of_evaluation(side, tmp_path):
    from transformers import AutoImageProcessor

    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (12, 16, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).resize((250, 200), Image.Resampling.BICUBIC)
    # Margins of the crop are even, since tools round odd ones in different ways.
    transform = EvalTransform(side, NormalizeArgs(mean=mean, std=std), 3, "bicubic")
    sample = transform.sample(image, rng, 0)
    (expected,) = transform.views([sample.views[0][None]], [sample.parameters[0][None]])
    settings = {"model": "timm/test_resnet", "image_size": side, "mean": mean, "std": std}
    lightly_core.export(out=tmp_path / "timm", format="timm", **settings)
    settings["model"] = "torchvision/resnet18"
    lightly_core.export(out=tmp_path / "hf", format="huggingface", **settings)
    model = timm.create_model(f"local-dir:{tmp_path / 'timm'}")
    config = timm.data.resolve_model_data_config(model)
    processor = AutoImageProcessor.from_pretrained(tmp_path / "hf")
    found = {
        "timm": timm.data.create_transform(**config)(image)[None],
        "huggingface": processor(image, return_tensors="pt")["pixel_values"],
    }
    for views in found.values():
        # Rounding to a byte differs by one step, 1 / 255, for a few pixels.
        torch.testing.assert_close(views, expected, rtol=0, atol=2.1 / 255 / min(std))
        assert (views - expected).abs().mean() < 0.2 / 255

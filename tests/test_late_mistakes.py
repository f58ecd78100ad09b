"""Mistakes that need heavy libraries to be seen: a run refuses them before it writes anything.

So does a dry run, which builds networks without numbers.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from setting_places import without_places

from lightly_core.cli.main import main
from lightly_core.plugins import discovery

DISTILLATION = "method=distillation"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight images, and weights of another network."""
    folder = tmp_path_factory.mktemp("late")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for index in range(8):
        pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{index}.png")
    torch.save({"other.weight": torch.zeros(3, 3)}, folder / "other.pt")
    return folder


@pytest.fixture
def lightly(folder, monkeypatch, capfd):
    """Run `lightly run` in a folder with images; returns code, output and errors."""
    monkeypatch.chdir(folder)

    def run(*typed):
        defaults = {
            "out": "out",
            "data": "images",
            "model": "timm/test_resnet",
            "method": "simclr",
            "epochs": "1",
            "batch_size": "4",
            "num_workers": "0",
            "accelerator": "cpu",
            "transform_args.image_size": "32",
        }
        given = {word.partition("=")[0] for word in typed}
        words = [f"{key}={value}" for key, value in defaults.items() if key not in given]
        code = main(["run", *words, *typed])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    yield run
    discovery.configure()


@pytest.mark.parametrize("mode", ["run", "dry run"])
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["checkpoint=nope.pt"], ["config.checkpoint: 'nope.pt' does not exist"]),
        (["checkpoint=images"], ["config.checkpoint: 'images' is a folder"]),
        (["checkpoint=other.pt"], ["no tensor of other.pt fits ResNet"]),
        ([DISTILLATION, "method_args.teacher=foo/bar"], ["unknown model library 'foo'"]),
        ([DISTILLATION, "method_args.teacher=timm/test_resnett"], ["no model 'test_resnett'"]),
        (
            [DISTILLATION, "method_args.teacher=timm/test_vit", "method_args.teacher_args.foo=1"],
            ["unknown model_args of timm/test_vit: foo"],
        ),
        ([DISTILLATION, "method_args.teacher_weights=n.pt"], ["teacher_weights: 'n.pt' does not"]),
        ([DISTILLATION, "method_args.teacher_url=foo"], ["teacher_url", "starts with http://"]),
        ([DISTILLATION, "method_args.teacher_url=http://[bad"], ["teacher_url", "cannot be read"]),
        (
            [DISTILLATION, "method_args.cache=2", "method_args.cache_dir=other.pt"],
            ["config.method_args.cache_dir: 'other.pt' is a file, expected a folder"],
        ),
        (["model_args.foo=1"], ["unknown model_args of timm/test_resnet: foo"]),
        (["model_args.weights=n.pt"], ["there is no file n.pt"]),
        (["method=mae"], ["method 'mae' needs a model with patch tokens"]),
        (["trainer_args.profiler=nothing"], ["Trainer refuses its arguments", "nothing"]),
        (["trainer_args.log_every_n_steps=often"], ["log_every_n_steps", "got 'often'"]),
        (["trainer_args.gradient_clip_val=-1"], ["gradient_clip_val: expected a norm"]),
        (["trainer_args.callbacks=early"], ["expected a Lightning Callback", "got 'early'"]),
        (["trainer_args.logger=csv"], ["expected a Lightning Logger", "got 'csv'"]),
        (["in_memory=false", "loader_args.timeout=5"], ["loader_args.timeout", "num_workers=0"]),
        (["loader_args.persistent_workers=true"], ["persistent_workers", "num_workers=0"]),
        (["num_workers=2", "loader_args.prefetch_factor=0"], ["prefetch_factor", "1 or more"]),
        (["num_workers=2", "loader_args.timeout=soon"], ["timeout: expected seconds"]),
        (["num_workers=2", "loader_args.multiprocessing_context=x"], ["multiprocessing_context"]),
        (
            ["callbacks.early_stopping.monitor=val_loss", "callbacks.early_stopping.patience=1"],
            ["early_stopping.monitor: there is no metric 'val_loss'", "train_loss, grad_norm"],
        ),
        (["callbacks.model_checkpoint.monitor=val_loss"], ["no metric 'val_loss'"]),
        (["callbacks.model_checkpoint.monitor=train_los"], ["did you mean 'train_loss'?"]),
        (["callbacks.model_checkpoint.monitor=data_wait"], ["does not describe the network"]),
        (
            ["callbacks.model_checkpoint.monitor=memory/process_gib"],
            ["callbacks.device_stats_monitor is off"],
        ),
        (["callbacks.early_stopping.monitor=grad_norm"], ["'grad_norm' (str) without a patience"]),
        (["transform_args.normalize.mean=[123.7,116.3,103.5]"], ["[0.485, 0.456, 0.406]"]),
        (["transform_args.normalize.std=[58.4,57.1,57.4]"], ["[0.229, 0.224, 0.225]"]),
    ],
    ids=lambda value: " ".join(value) if value and "=" in value[0] else "",
)
def test_a_mistake_is_told_before_anything_is_written(lightly, folder, typed, expected, mode):
    code, output, error = lightly(*typed, *(["--dry-run"] if mode == "dry run" else []))
    assert code == 2, (output, error)
    for text in expected:
        assert text in without_places(error)
    assert "meta" not in error
    assert {path.name for path in folder.iterdir()} == {"images", "other.pt"}


def test_a_dry_run_names_all_mistakes_at_once(lightly):
    monitor = "callbacks.model_checkpoint.monitor=val_loss"
    code, _, error = lightly("--dry-run", monitor, "model_args.foo=1", "trainer_args.profiler=x")
    assert code == 2
    assert "3 settings are wrong" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        ["model=timm/test_vit", "method=mae"],
        ["model=timm/test_vit", "method=dinov2", "transform_args.local_view.view_size=16"],
        ["method=distillation", "method_args.teacher=dinov2/vits14"],
        ["method=distillation", "method_args.teacher=timm/test_vit"],
        ["model=dinov2/vits14", "transform_args.image_size=28"],
        ["model_args.pretrained=true"],
        ["model=torchvision/resnet18", "model_args.weights=DEFAULT", "method=byol"],
        ["model=ultralytics/yolov8n.yaml", "embed_dim=8"],
        ["embed_dim=8", "method=swav", "transform_args.image_size=64"],
        ["callbacks.model_checkpoint.monitor=contrast/top1"],
        ["seed=none", "activation_checkpoint_args.enabled=true"],
    ],
    ids=" ".join,
)
def test_a_dry_run_of_what_is_right_downloads_nothing(lightly, folder, monkeypatch, typed):
    def refuse(*args, **kwargs):
        raise AssertionError("a dry run opens no connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    code, output, error = lightly("--dry-run", "--json", *typed)
    assert (code, error) == (0, ""), output
    assert output.startswith("{")
    assert {path.name for path in folder.iterdir()} == {"images", "other.pt"}

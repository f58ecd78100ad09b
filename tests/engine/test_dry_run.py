"""A dry run of a known model needs no torch, and still refuses what a run refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lightly_core.cli.main import main
from lightly_core.config.reading.load import load_settings
from lightly_core.engine.dry_run import NOT_BUILT, reasons_to_build
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import get_plugins

MODEL = "model=torchvision/resnet18"

#: Runs the command line, and prints the heavy modules that were imported.
PROGRAM = """
import sys
from lightly_core.cli.main import main
code = main(sys.argv[1:])
heavy = {"torch", "torchvision", "lightning", "sklearn", "scipy", "pandas", "matplotlib"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight images in two folders."""
    rng = np.random.default_rng(0)
    for index in range(8):
        file = tmp_path / f"images/{'ab'[index % 2]}/{index}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 48, 3)).astype(np.uint8)).save(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(*given):
    defaults = {"out": "out", "data": "images", "method": "simclr", "batch_size": "4"}
    named = {word.partition("=")[0] for word in given}
    return [*(f"{k}={v}" for k, v in defaults.items() if k not in named), *given]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["transform_args.image_size=64", "callbacks.model_checkpoint.monitor=knn/top1"],
        ["val_data=images/a", "data=images/b", "callbacks.knn.query_fraction=0.4"],
    ],
    ids=" ".join,
)
def test_a_known_model_needs_no_torch_and_resolves_as_in_a_run(folder, capsys, more):
    if "val_data=images/a" in more:  # the classes of both are the folders in them
        for name in ("a/x", "a/y", "b/x", "b/y"):
            (folder / "images" / name).mkdir()
            image = Image.new("RGB", (40, 40))
            for index in range(3):
                image.save(folder / "images" / name / f"{index}.png")
        for file in folder.glob("images/*/*.jpg"):
            file.unlink()
    command = ["run", "--dry-run", "--json", *words(MODEL, "accelerator=cpu", *more)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, f"{NOT_BUILT}\n\n")
    assert main([*command, "--build"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(done.stdout) == json.loads(printed.out)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (["model_args.zero_init_residual=true"], "model_args"),
        (["embed_dim=8"], "embed_dim"),
        (["compile=true"], "compile"),
        (["resume_interrupted=true"], "resume_interrupted"),
        (["trainer_args.deterministic=true"], "trainer_args"),
        (["loader_args.timeout=1"], "loader_args"),
        (["activation_checkpoint_args.enabled=true"], "activation_checkpoint_args"),
        (["strategy=fsdp"], "strategy"),
        (["num_nodes=2"], "num_nodes"),
        (["precision=64-true"], "precision"),
        (["method=mae"], "method"),
        (["method=distillation"], "method"),
        (["method=wmse"], "method"),
        (["method=dino", "method_args.layer_decay=0.9"], "method"),
        (["model=torchvision/vit_b_16"], "model"),
        (["model=timm/resnet18.a1_in1k"], "model"),
        (["model=timm/resnet18x"], "model"),
        (["transform_args.image_size=30"], "transform_args"),
        (["transform_args.num_channels=1"], "transform_args"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_only_a_built_network_shows_is_a_reason_to_build(folder, typed, reason):
    given = [MODEL, *typed] if not typed[0].startswith("model=") else typed
    catalog = get_plugins().catalog
    settings = load_settings(catalog=catalog, pairs=words(*given))
    assert list(reasons_to_build(settings, catalog)) == [reason]


@pytest.mark.parametrize("method", ["simclr", "dino", "byol", "vicreg", "mocov3", "swav"])
def test_most_methods_are_checked_without_building_them(folder, method):
    catalog = get_plugins().catalog
    settings = load_settings(catalog=catalog, pairs=words(MODEL, f"method={method}"))
    assert list(reasons_to_build(settings, catalog)) == []


def test_a_launcher_is_a_reason_to_build(folder, monkeypatch):
    for name, value in {"WORLD_SIZE": 2, "RANK": 0, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    catalog = get_plugins().catalog
    settings = load_settings(catalog=catalog, pairs=words(MODEL))
    assert list(reasons_to_build(settings, catalog)) == ["the launcher"]


def write_as(mode, folder):
    for file in folder.glob("images/*/*.jpg"):
        Image.open(file).convert(mode).save(file.with_suffix(".tif"))
        file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("build", [[], ["--build"]], ids=["light", "built"])
@pytest.mark.parametrize(
    ("typed", "prepare", "expected"),
    [
        (["batch_size=1"], None, ["method 'simclr' needs at least 2 images in a batch"]),
        (["transform_args.num_views=3"], None, ["method 'simclr' takes 2 global views, got 3"]),
        (
            ["callbacks.knn=none", "callbacks.model_checkpoint.monitor=knn/top1", "batch_size=1"],
            None,
            ["no 'knn/top1' in this run: callbacks.knn is off", "2 settings are wrong"],
        ),
        (["callbacks.knn=none", "val_data=images/a", "data=images/b"], None, ["is not used"]),
        (["val_data=images/a", "data=images/b"], None, ["config.val_data", "label"]),
        ([], lambda folder: write_as("F", folder), ["value_range"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_both_kinds_of_dry_run_refuse_what_a_run_refuses(
    folder, capsys, typed, prepare, expected, build
):
    if prepare is not None:
        prepare(folder)
    code = main(["run", "--dry-run", *build, *words(MODEL, *typed)])
    error = capsys.readouterr().err
    assert code == 2, error
    for text in expected:
        assert text in error
    assert not (folder / "out").exists()


@pytest.mark.parametrize("build", [[], ["--build"]], ids=["light", "built"])
def test_both_kinds_of_dry_run_ask_the_loggers(folder, capsys, monkeypatch, build):
    def refuse(cls, config):
        raise ConfigError("there is no room for curves")

    logger = "lightly_core.engine.loggers.tensorboard.TensorBoardLogger"
    monkeypatch.setattr(f"{logger}.check", classmethod(refuse))
    assert main(["run", "--dry-run", *build, *words(MODEL)]) == 2
    assert "config.loggers.tensorboard: there is no room" in capsys.readouterr().err

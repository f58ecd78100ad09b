"""What a user gets for a mistake: exit code 2, one message that helps, and an untouched disk.

More mistakes, with their messages word by word, are in test_messages.py.
"""

import json

import numpy as np
import pytest
from PIL import Image

from lightly_core.cli.main import main
from lightly_core.plugins import discovery


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def lightly(tmp_path, images, capfd):
    """Run `lightly run` with valid settings, changed by the arguments."""

    def run(*arguments, flags=()):
        given = {argument.partition("=")[0] for argument in arguments}
        defaults = {
            "out": str(tmp_path / "out"),
            "data": str(images),
            "model": "timm/test_resnet",
            "method": "simclr",
            "epochs": "1",
            "batch_size": "4",
            "num_workers": "0",
            "accelerator": "cpu",
            "transform_args.image_size": "32",
        }
        pairs = [f"{key}={value}" for key, value in defaults.items() if key not in given]
        code = main(["run", *flags, *pairs, *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    yield run
    discovery.configure()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["optim_args.lrr=1"], ["optim_args", "'lr'"]),
        (["trainer_args.max_step=3"], ["trainer_args", "max_step"]),
        (["loader_args.prefetch=3"], ["loader_args", "prefetch_factor"]),
        (
            ["model=torchvision/resnet18", "model_args.num_clases=3"],
            ["num_clases", "num_classes"],
        ),
        (["overwrite=maybe"], ["config.overwrite", "expected bool", "maybe"]),
        (["epochs=-1"], ["epochs", ">= 0", "-1"]),
        (["method=distilation"], ["unknown method 'distilation'", "did you mean 'distillation'"]),
        (["accelerator=tpuu"], ["accelerator", "tpuu"]),
        (["batch_size=1"], ["batch"]),
        (["model=torchvision/vit_b_16"], ["224"]),
    ],
    ids=lambda value: value[0].partition("=")[0] + "=" if isinstance(value, list) else None,
)
def test_mistakes_are_explained_and_nothing_is_written(lightly, tmp_path, arguments, expected):
    code, _, error = lightly(*arguments)
    assert code == 2, error
    for text in expected:
        assert text in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_an_existing_out_is_refused_and_stays_as_it_is(lightly, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    code, _, error = lightly()
    assert code == 2
    assert "exists already" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_only_broken_images_stop_the_run_with_their_reasons(lightly, images):
    for index, content in enumerate([b"", b"not an image", b"\x89PNG\r\n\x1a\n"] * 3):
        (images / f"{index}.png").write_bytes(content)
    code, _, error = lightly()
    assert code == 2
    assert "0.png" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_data_set_smaller_than_the_batch_works(lightly):
    code, output, _ = lightly("batch_size=100")
    assert code == 0
    assert "batch_size=8 is used" in output


@pytest.mark.parametrize(("seed", "drawn"), [("none", True), ("5", False)])
def test_a_dry_run_prints_the_resolved_settings_and_writes_nothing(lightly, tmp_path, seed, drawn):
    code, output, _ = lightly(f"seed={seed}", flags=["--dry-run", "--json"])
    assert code == 0
    resolved = json.loads(output)
    assert resolved["derived"]["total_steps"] == 2
    assert resolved["derived"]["seed_drawn"] is drawn
    assert isinstance(resolved["seed"], int)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_one_broken_image_does_not_stop_a_run(lightly, images, tmp_path):
    (images / "3.png").write_bytes((images / "3.png").read_bytes()[:100])
    code, output, _ = lightly("max_skipped=0.2")
    assert code == 0
    assert "1 images could not be read" in output
    assert "3.png" in (tmp_path / "out/skipped_images.csv").read_text()

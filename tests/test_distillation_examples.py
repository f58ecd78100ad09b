import csv
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from lightly_core.cli.main import main
from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.errors import ConfigError
from lightly_core.testing import wrapper_checks

EXAMPLES = Path(__file__).parents[1] / "examples"
CLASSES = ("blue", "red")


@pytest.fixture
def example(monkeypatch):
    """Import an example, as its neighbours do."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def image_folders(tmp_path):
    """Two folders with ten images of each of two classes, told apart by their colour."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number, label in enumerate(CLASSES):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for index in range(10):
                pixels = rng.integers(0, 256, (32, 32, 3))
                pixels[:, :, 0] = 250 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "train", tmp_path / "test"


class Published:
    """Draws random tensors under the names of a published file."""

    def __init__(self):
        self.tensors = {}
        self._generator = torch.Generator().manual_seed(0)

    def conv(self, name, out_width, width, kernel):
        shape = (out_width, width, kernel, kernel)
        scale = (2 / (width * kernel**2)) ** 0.5
        self.tensors[f"{name}.weight"] = scale * self._normal(*shape)

    def norm(self, name, width):
        self.tensors[f"{name}.weight"] = 1 + 0.1 * self._normal(width)
        self.tensors[f"{name}.bias"] = 0.1 * self._normal(width)
        self.tensors[f"{name}.running_mean"] = 0.1 * self._normal(width)
        self.tensors[f"{name}.running_var"] = 1 + self._normal(width).abs()

    def linear(self, name, out_width, width):
        self.tensors[f"{name}.weight"] = self._normal(out_width, width) / width**0.5
        self.tensors[f"{name}.bias"] = self._normal(out_width)

    def _normal(self, *shape):
        return torch.randn(shape, generator=self._generator)


def normed(tensors, name, x, eps):
    parts = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(tensors[f"{name}.{part}"] for part in parts), eps=eps)


# ------------------------------------------------------------------ CIFAR's ResNet


@pytest.fixture
def cifar_tensors():
    published = Published()
    published.conv("module.conv1", 16, 3, 3)
    published.norm("module.bn1", 16)
    width = 16
    for stage, out_width in enumerate((16, 32, 64), start=1):
        for block in range(2):
            name = f"module.layer{stage}.{block}"
            published.conv(f"{name}.conv1", out_width, width, 3)
            published.norm(f"{name}.bn1", out_width)
            published.conv(f"{name}.conv2", out_width, out_width, 3)
            published.norm(f"{name}.bn2", out_width)
            width = out_width
    published.linear("module.linear", 10, 64)
    return published.tensors


@pytest.fixture
def cifar_file(cifar_tensors, tmp_path):
    file = tmp_path / "cifar.th"
    torch.save({"state_dict": cifar_tensors, "best_prec1": 10.0}, file)
    return file


def plain_cifar_resnet(tensors, x):
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}

    def step(conv, norm, x, stride=1):
        x = F.conv2d(x, tensors[f"{conv}.weight"], stride=stride, padding=1)
        return normed(tensors, norm, x, eps=1e-5)

    x = step("conv1", "bn1", x).relu()
    for stage in (1, 2, 3):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shrinks = stage > 1 and block == 0
            y = step(f"{name}.conv1", f"{name}.bn1", x, stride=2 if shrinks else 1).relu()
            y = step(f"{name}.conv2", f"{name}.bn2", y)
            if shrinks:
                x = x[:, :, ::2, ::2]
                zeros = torch.zeros_like(x[:, : x.shape[1] // 2])
                x = torch.cat([zeros, x, zeros], dim=1)
            x = (x + y).relu()
    return x, F.linear(x.mean(dim=(2, 3)), tensors["linear.weight"], tensors["linear.bias"])


@torch.no_grad()
def test_the_cifar_teacher_computes_what_a_plain_forward_does(example, cifar_tensors, cifar_file):
    teacher = example("cifar_teacher").cifar_teacher(cifar_file)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected_map, expected_logits = plain_cifar_resnet(cifar_tensors, images)
    found = teacher.forward_features(images)
    assert expected_map.shape == (2, teacher.feature_dim(), 8, 8)
    torch.testing.assert_close(found["features"], expected_map)
    torch.testing.assert_close(teacher.get_model()(images), expected_logits)
    pooled = teacher.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled[:, :, 0, 0], expected_map.mean(dim=(2, 3)))


def test_the_cifar_teacher_is_a_wrapper_that_knows_its_normalisation(example, cifar_file):
    build = example("cifar_teacher").cifar_teacher
    checks = wrapper_checks(lambda: build(cifar_file), image_size=32)
    for check in checks:
        check()
    assert "A8" in {check.code for check in checks}
    assert build(cifar_file).input_normalization()[0] == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda tensors: tensors.pop("module.layer2.0.bn1.weight"), "layer2.0.bn1.weight"),
        (lambda tensors: tensors.update({"module.more": torch.zeros(1)}), "more"),
        (lambda tensors: tensors.clear() or tensors.update(a=torch.ones(1)), "no ResNet for CIFAR"),
    ],
)
def test_other_cifar_weights_are_refused(example, cifar_tensors, tmp_path, change, text):
    change(cifar_tensors)
    torch.save(cifar_tensors, tmp_path / "other.th")
    with pytest.raises(ConfigError, match=text):
        example("cifar_teacher").cifar_teacher(tmp_path / "other.th")


# ------------------------------------------------------------------ EfficientNet-Lite0

#: Repeats, kernel, first stride, width, of the stages of the network.
STAGES = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)


def lite0_blocks():
    """Yield the name, kernel, stride, width, inner width and output width of each block."""
    number, width = 0, 32
    for repeats, kernel, first_stride, out_width in STAGES:
        for repeat in range(repeats):
            inner = width if number == 0 else 6 * width
            stride = first_stride if repeat == 0 else 1
            yield f"_blocks.{number}", kernel, stride, width, inner, out_width
            number, width = number + 1, out_width


@pytest.fixture(scope="module")
def lite0_tensors():
    published = Published()
    published.conv("_conv_stem", 32, 3, 3)
    published.norm("_bn0", 32)
    for name, kernel, _, width, inner, out_width in lite0_blocks():
        if inner != width:
            published.conv(f"{name}._expand_conv", inner, width, 1)
            published.norm(f"{name}._bn0", inner)
        published.conv(f"{name}._depthwise_conv", inner, 1, kernel)
        published.norm(f"{name}._bn1", inner)
        published.conv(f"{name}._project_conv", out_width, inner, 1)
        published.norm(f"{name}._bn2", out_width)
    published.conv("_conv_head", 1280, 320, 1)
    published.norm("_bn1", 1280)
    published.linear("_fc", 1000, 1280)
    norms = [name for name in published.tensors if name.endswith("running_mean")]
    counters = (name.replace("running_mean", "num_batches_tracked") for name in norms)
    return published.tensors | {name: torch.tensor(0) for name in counters}


def plain_lite0(tensors, x):
    def step(conv, norm, x, stride=1, groups=1):
        weight = tensors[f"{conv}.weight"]
        kernel = weight.shape[2]
        # TensorFlow's "same": what is odd of the padding comes behind.
        padding = max((-(-x.shape[2] // stride) - 1) * stride + kernel - x.shape[2], 0)
        front, behind = padding // 2, padding - padding // 2
        x = F.pad(x, (front, behind, front, behind))
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        return normed(tensors, norm, x, eps=1e-3)

    x = F.relu6(step("_conv_stem", "_bn0", x, stride=2))
    for name, _, stride, width, inner, out_width in lite0_blocks():
        y = x
        if inner != width:
            y = F.relu6(step(f"{name}._expand_conv", f"{name}._bn0", y))
        y = F.relu6(step(f"{name}._depthwise_conv", f"{name}._bn1", y, stride, groups=inner))
        y = step(f"{name}._project_conv", f"{name}._bn2", y)
        x = x + y if stride == 1 and width == out_width else y
    x = F.relu6(step("_conv_head", "_bn1", x))
    return F.linear(x.mean(dim=(2, 3)), tensors["_fc.weight"], tensors["_fc.bias"])


@pytest.mark.slow
@torch.no_grad()
def test_converted_weights_give_timm_the_numbers_of_a_plain_forward(
    example, lite0_tensors, tmp_path
):
    import timm

    torch.save(lite0_tensors, tmp_path / "in.pth")
    convert = example("efficientnet_lite0_to_timm").convert
    assert convert(tmp_path / "in.pth", tmp_path / "out.pth") == len(lite0_tensors) == 296
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = plain_lite0(lite0_tensors, images)
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"_fc.bias": None}, "1 missing: classifier.bias"),
        ({"_blocks.16._bn2.weight": torch.ones(1)}, "1 unknown: _blocks.16._bn2.weight"),
        ({"_conv_stem.weight": torch.ones(1)}, "1 of another shape: conv_stem.weight"),
    ],
)
def test_other_weights_are_not_converted(example, lite0_tensors, tmp_path, change, text):
    tensors = {k: v for k, v in {**lite0_tensors, **change}.items() if v is not None}
    torch.save(tensors, tmp_path / "in.pth")
    with pytest.raises(ConfigError, match=re.escape(text)):
        example("efficientnet_lite0_to_timm").convert(tmp_path / "in.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_separable_features_are_classified_linearly_and_noise_is_not(example):
    module = example("frozen_features")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    noise, more_noise = torch.randn(2, 200, 8, generator=generator)
    train, test = (module.Labelled(x, labels, CLASSES) for x in (noise, more_noise))
    assert 0.3 < module.linear_accuracy(train, test) < 0.7
    shift = 10 * labels[:, None]
    train, test = (module.Labelled(x + shift, labels, CLASSES) for x in (noise, more_noise))
    assert module.linear_accuracy(train, test) == 1.0


def test_epochs_fill_the_time(example):
    epochs_for = example("benchmark_timing").epochs_for
    assert epochs_for(minutes=2, step_seconds=0.5, steps_per_epoch=40) == 6
    assert epochs_for(minutes=0.01, step_seconds=1, steps_per_epoch=40) == 1


def test_a_command_holds_the_settings(example):
    settings = {
        "out": "a folder",
        "epochs": 3,
        "method_args": {"teacher": "timm/x", "teacher_normalize": {"mean": [0.25, 0.5, 0.75]}},
        "callbacks": {"knn": None},
        "overwrite": True,
    }
    command = example("benchmark_tables").as_command(settings)
    assert command.startswith("lightly run 'out=a folder' epochs=3 ")
    words = shlex.split(command)[2:]
    assert parse_pairs(words) == settings


def test_losses_are_the_first_and_the_last_logged(example, tmp_path):
    first_and_last_loss = example("benchmark_tables").first_and_last_loss
    lines = [{"knn/top1": 0.5}, *({"train_loss": loss} for loss in (3.0, 2.0, 1.0)), {"step": 9}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert first_and_last_loss(tmp_path / "metrics.jsonl") == (3.0, 1.0)
    assert first_and_last_loss(tmp_path / "nothing") == (None, None)


@pytest.mark.slow
def test_the_relational_loss_stays_far_below_a_gigabyte_at_448_pixels():
    command = [sys.executable, EXAMPLES / "relational_memory.py", "--widths", "384"]
    done = subprocess.run(
        [*command, "--chunk-sizes", "4096"], capture_output=True, text=True, check=True
    )
    grown = float(done.stdout.splitlines()[-1].split("|")[3])
    # At least the gradient, 64 x 784 x 384 numbers of 4 bytes; its copy in `student.grad` may lie
    # where something was freed.
    assert 73 < grown < 600


@pytest.fixture
def benchmark(example, image_folders, tmp_path):
    """Run the benchmark on the small folders and return its rows by name."""

    def run(data_set, weights, *words):
        options = ["--data-set", data_set, "--weights", weights, "--out", tmp_path / "out"]
        options += ["--train", image_folders[0], "--test", image_folders[1]]
        options += ["--batch-size", "8", "--num-workers", "0", *words]
        example("distillation_benchmark").main([str(word) for word in options])
        with (tmp_path / "out/rows.csv").open() as stream:
            return {row["row"]: row for row in csv.DictReader(stream)}

    return run


@pytest.mark.families
def test_an_untrained_student_and_the_teacher_are_measured(
    benchmark, cifar_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    only = ("--only", "random", "teacher")
    rows = benchmark("cifar", cifar_file, "--epochs", "1", "--images-per-class", "8", *only)
    assert (rows["random"]["epochs"], rows["random"]["images"]) == ("0", "16")
    assert rows["random"]["seconds"] == rows["random"]["last_loss"] == ""
    # Red and blue are told apart by any network.
    assert rows["random"]["linear"] == rows["teacher"]["linear"] == "100.0 %"
    assert rows["teacher"]["made_by"].endswith("--images-per-class 8 --only teacher")
    table = (tmp_path / "out/table.md").read_text()
    assert table.count("| random |") == table.count("| teacher |") == 1
    assert rows["random"]["run"] in table


def test_folders_of_other_classes_are_refused(benchmark, cifar_file, image_folders):
    (image_folders[1] / "red").rename(image_folders[1] / "yellow")
    with pytest.raises(ValueError, match="expected the same classes"):
        benchmark("cifar", cifar_file, "--epochs", "1", "--only", "teacher")


@pytest.mark.exhaustive
def test_every_method_trains_on_cifar_with_the_teacher_of_the_file(benchmark, cifar_file, tmp_path):
    rows = benchmark("cifar", cifar_file, "--epochs", "2", "--set", "seed=3", "batch_size=4")
    trained = [row for row in rows.values() if row["last_loss"]]
    assert (len(rows), len(trained)) == (8, 6)
    for row in trained:
        assert row["steps"] == "10"
        assert float(row["images_per_second"]) == pytest.approx(40 / float(row["seconds"]), rel=0.1)
        assert row["first_loss"] != row["last_loss"]
        config = json.loads((tmp_path / "out" / row["row"] / "config.json").read_text())
        assert config["method"] == row["method"]
        assert config["seed"] == 3
        assert config["optim"] == "adamw"
    losses = [rows[f"v2-{loss}"]["loss"] for loss in ("mse", "normalized_mse", "cosine")]
    assert losses == ["mse", "normalized_mse", "cosine"]
    assert f"cifar_teacher('{cifar_file}')" in rows["v3"]["run"]
    assert not (tmp_path / "out/teacher").exists()


@pytest.mark.exhaustive
def test_methods_get_equal_time_and_their_commands_do_the_same_run(
    benchmark, lite0_tensors, example, tmp_path, capsys
):
    torch.save(lite0_tensors, tmp_path / "in.pth")
    file = tmp_path / "lite0.pth"
    example("efficientnet_lite0_to_timm").convert(tmp_path / "in.pth", file)
    words = ("--minutes", "0.02", "--batch-size", "3", "--student", "timm/test_resnet")
    rows = benchmark("imagenette", file, *words, "--only", "simclr", "v1", "v2-mse", "teacher")
    assert rows.keys() == {"simclr", "v1", "v2-mse", "teacher"}
    for name in ("simclr", "v1", "v2-mse"):
        assert int(rows[name]["steps"]) == 6 * int(rows[name]["epochs"])
        pairs = shlex.split(rows[name]["run"])[2:]
        capsys.readouterr()
        assert main(["run", "--dry-run", "--json", *pairs]) == 0
        planned = json.loads(capsys.readouterr().out)
        resolved = json.loads((tmp_path / "out" / name / "config.json").read_text())
        del resolved["trainer_args"], planned["trainer_args"]  # the clock
        assert planned == resolved

"""What a run writes is what ultralytics loads and trains from."""

from contextlib import nullcontext

import pytest
import torch
from PIL import Image
from torch import nn

from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.wrapping import build_model
from lightly_core.parts.sync_batch_norm import SyncBatchNorm, synchronise
from lightly_core.plugins.discovery import get_plugins

#: One of each kind of head.
HEADS = ("yolo26n-seg.yaml", "yolo11n-pose.yaml", "yolo11n-obb.yaml")
GENERATIONS = ("yolov5n.yaml", "yolov6n.yaml", "yolov9t.yaml", "yolov10n.yaml", "yolo12n.yaml")
LARGE = ("rtdetr-l.yaml", "yolov9e.yaml")
NAMES = [
    "yolov8n.yaml",
    "yolo11n-cls.yaml",
    *(pytest.param(n, marks=pytest.mark.families) for n in (*HEADS, *GENERATIONS, *LARGE)),
]


def facade(name):
    import ultralytics

    return ultralytics.RTDETR if "rtdetr" in name else ultralytics.YOLO


def require_equal(found, expected):
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert different == []


@pytest.fixture
def exported(library, trained, tmp_path):
    """Train a model a little and write it; return its tensors and the file."""

    def exported(name, channels=3, **model_args):
        module = trained(name, channels, **model_args).get_model()
        file = tmp_path / "exported_last.pt"
        library.save(module, file)
        return {key: value.clone() for key, value in module.state_dict().items()}, file

    return exported


@pytest.mark.families
@pytest.mark.parametrize("name", NAMES)
def test_promise_05_ultralytics_loads_every_tensor(name, exported):
    tensors, file = exported(name)
    loaded = facade(name)(file)
    require_equal(loaded.model.state_dict(), tensors)
    assert all(value.dtype != torch.float16 for value in loaded.model.state_dict().values())


@pytest.mark.families
@pytest.mark.parametrize("name", ["yolov8n.yaml", "yolo11n-cls.yaml"])
def test_the_file_is_read_back_by_its_path(name, exported, create):
    tensors, file = exported(name)
    wrapper = create(file)
    require_equal(wrapper.get_model().state_dict(), tensors)
    # As ultralytics builds its models: only the constant of the box head is frozen.
    frozen = [n for n, p in wrapper.named_parameters() if not p.requires_grad]
    assert all("dfl" in parameter for parameter in frozen)


@pytest.mark.slow
def test_saving_leaves_the_model_as_it_is(create, library, tmp_path):
    model = create("yolov8n.yaml").get_model().train()
    before = dict(model.yaml), dict(model.args)
    library.save(model, tmp_path / "a.pt")
    assert (dict(model.yaml), dict(model.args)) == before
    assert model.training


@pytest.mark.families
def test_synchronised_norms_are_saved_as_plain_ones(trained, library, tmp_path):
    model = trained("yolov8n.yaml").get_model()
    synchronise(model.model[0])  # as a run does on a CPU
    nn.SyncBatchNorm.convert_sync_batchnorm(model.model[1:])
    model = model.to(memory_format=torch.channels_last)
    library.save(model, tmp_path / "a.pt")
    loaded = facade("")(tmp_path / "a.pt").model
    require_equal(loaded.state_dict(), model.state_dict())
    kinds = {type(module) for module in loaded.modules()}
    assert nn.BatchNorm2d in kinds
    assert not kinds & {nn.SyncBatchNorm, SyncBatchNorm}
    assert all(p.is_contiguous() for p in loaded.parameters())


@pytest.mark.families
@pytest.mark.parametrize("name", ["yolov8n.yaml", "yolo11n-cls.yaml"])
def test_other_channels_reach_the_file_and_the_model_that_is_built_from_it(name, exported):
    tensors, file = exported(name, channels=4)
    loaded = facade(name)(file).model
    require_equal(loaded.state_dict(), tensors)
    # What training with ultralytics does for data with 4 channels.
    rebuilt = type(loaded)(loaded.yaml, ch=4, nc=loaded.yaml["nc"], verbose=False)
    rebuilt.load(loaded, verbose=False)
    require_equal(rebuilt.state_dict(), tensors)


@pytest.mark.families
def test_both_exported_files_load_into_a_new_wrapper(tmp_path, trained, library):
    arguments = {"train_neck": True, "nc": 7}
    built = build_model(
        "ultralytics/yolo11n.yaml", catalog=get_plugins().catalog, model_args=arguments
    )
    files = export_model(built, built.wrapper, tmp_path, "exported_last", {"method": "simclr"})
    wrapper = trained("yolo11n.yaml", nc=7)
    for file in files:
        with torch.no_grad():
            for tensor in wrapper.get_model().state_dict().values():
                tensor.add_(1)  # so that everything has to come out of the file
        assert load_weights(wrapper, file, strict=True, library=library).complete
        require_equal(wrapper.get_model().state_dict(), built.wrapper.get_model().state_dict())


@pytest.mark.families
def test_the_files_of_ultralytics_load_as_checkpoint(tmp_path, trained, library):
    model = trained("yolov8n.yaml").get_model()
    library.save(model, tmp_path / "a.pt")
    # YOLO.save rounds to half precision.
    facade("")(tmp_path / "a.pt").save(tmp_path / "b.pt")
    wrapper = trained("yolov8n.yaml")
    report = load_weights(wrapper, tmp_path / "b.pt", strict=True, library=library)
    assert report.complete
    for found, own in zip(wrapper.get_model().parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-4)


@pytest.mark.families
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("yolov8n.yaml", "from ultralytics import YOLO\n"),
        pytest.param(
            "rtdetr-l.yaml", "from ultralytics import RTDETR\n", marks=pytest.mark.families
        ),
    ],
)
def test_the_printed_snippet_runs(name, line, tmp_path):
    built = build_model(f"ultralytics/{name}", catalog=get_plugins().catalog)
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    code = snippet(built, native)
    assert code.startswith(line)
    exec(code, scope := {})
    require_equal(scope["model"].model.state_dict(), built.wrapper.get_model().state_dict())


def test_the_snippet_knows_the_class_before_the_file_is_there(library, tmp_path):
    for name, expected in (("rtdetr-l.yaml", "RTDETR"), ("yolo11n.pt", "YOLO"), (None, "YOLO")):
        code = library.snippet(
            name, num_input_channels=1, model_args={}, file=tmp_path / "missing.pt"
        )
        assert f"model = {expected}(" in code
        assert "channels: 1" in code


# ------------------------------------------------------------------------ training goes on


@pytest.fixture
def detection_data(tmp_path):
    """Eight images with one box each, two classes."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        (root / "labels" / split).mkdir(parents=True)
        for index in range(4):
            color = (60 * index, 255 - 60 * index, 90)
            Image.new("RGB", (64, 64), color).save(root / "images" / split / f"{index}.png")
            label = f"{index % 2} 0.5 0.5 0.4 0.4\n"
            (root / "labels" / split / f"{index}.txt").write_text(label)
    file = root / "data.yaml"
    file.write_text(f"path: {root}\ntrain: images/train\nval: images/val\nnames: [a, b]\n")
    return file


@pytest.fixture
def classification_data(tmp_path):
    root = tmp_path / "classes"
    for split in ("train", "val"):
        for label, color in (("a", "red"), ("b", "blue")):
            (root / split / label).mkdir(parents=True)
            for index in range(2):
                Image.new("RGB", (64, 64), color).save(root / split / label / f"{index}.png")
    return root


class Started(Exception):
    """Training has begun."""


def train(model, data, folder, *, to_the_end):
    """Train for one epoch, or up to its beginning; return the weights it started with."""
    seen = {}

    def look(trainer):
        state = trainer.model.state_dict()
        seen.update({key: value.detach().clone() for key, value in state.items()})
        if not to_the_end:
            raise Started

    model.add_callback("on_train_start", look)
    with nullcontext() if to_the_end else pytest.raises(Started):
        run_training(model, data, folder)
    return seen


def run_training(model, data, folder):
    model.train(
        data=str(data),
        epochs=1,
        imgsz=64,
        batch=2,
        workers=0,
        device="cpu",
        plots=False,
        verbose=False,
        project=str(folder),
    )


@pytest.mark.families
@pytest.mark.parametrize(
    ("name", "to_the_end"),
    [
        ("yolov8n.yaml", True),
        ("yolo26n.yaml", False),
        ("yolov9t.yaml", False),
        ("rtdetr-l.yaml", False),
    ],
)
def test_training_a_detector_starts_from_the_exported_weights(
    name, to_the_end, exported, detection_data, tmp_path
):
    tensors, file = exported(name)
    model = facade(name)(file)
    end = len(model.model.yaml["backbone"])
    seen = train(model, detection_data, tmp_path / "runs", to_the_end=to_the_end)
    layers = {key: int(key.split(".")[1]) for key in tensors}
    head = max(layers.values())
    assert any(layers[key] < end for key in seen)
    for key, value in tensors.items():
        # The data have two classes, the model 80, so a part of the head is new.
        if layers[key] < head:
            assert torch.equal(seen[key], value), key


@pytest.mark.families
def test_training_a_classifier_starts_from_the_exported_weights(
    exported, classification_data, tmp_path
):
    tensors, file = exported("yolo11n-cls.yaml")
    seen = train(facade("")(file), classification_data, tmp_path / "runs", to_the_end=True)
    for key, value in tensors.items():
        if not key.endswith(("linear.weight", "linear.bias")):
            assert torch.equal(seen[key], value), key

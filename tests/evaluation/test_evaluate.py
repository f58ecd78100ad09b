import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from all_progress import show_all_progress
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

import lightly_core
import lightly_core.api
from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.errors import ConfigError, DataError, RunError
from lightly_core.evaluation.backbone import Backbone, open_backbone
from lightly_core.evaluation.splitting import split
from lightly_core.plugins import discovery
from lightly_core.testing import TinyConv

DIGITS = "builtin:digits"


class SomeDigits(Dataset):
    """Every sixth digit, for tests that need separable classes, but no exact numbers."""

    def __init__(self):
        images, self.targets = load_digits(return_X_y=True)
        self.images = (images[::6].reshape(-1, 8, 8) * 15).astype(np.uint8)
        self.targets = self.targets[::6]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return Image.fromarray(self.images[index])


SOME_DIGITS = SomeDigits()


def evaluate(**settings):
    defaults = {"data": SOME_DIGITS, "image_size": 16, "num_workers": 0, "linear": False}
    if "model" not in settings:
        torch.manual_seed(0)
        defaults["model"] = TinyConv()
    return lightly_core.evaluate(**{**defaults, **settings})


@pytest.fixture
def folders(tmp_path):
    """Write noise images, darker for earlier classes, and give the folder's name."""

    def folders(name, counts):
        rng = np.random.default_rng(len(name))
        for number, (label, count) in enumerate(counts.items()):
            (tmp_path / name / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 60, (16, 16, 3)) + 60 * number
                file = tmp_path / name / label / f"{index}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(file)
        return str(tmp_path / name)

    return folders


# --------------------------------------------------------------------------- scikit-learn


@pytest.fixture(scope="module")
def digits():
    """Results of the command, and the features and labels that they should follow from."""
    torch.manual_seed(0)
    model = TinyConv()
    settings = {"image_size": 16, "num_workers": 0}
    result = lightly_core.evaluate(
        model=model,
        data=DIGITS,
        knn={"k": (1, 20), "temperature": 0.1},
        linear={"penalties": [1e-3]},
        retrieval=True,
        **settings,
    )
    config = EvaluateConfig(model=PythonObject(model), data=DIGITS, **settings)
    backbone = open_backbone(config, discovery.get_plugins().catalog)
    source = backbone.open_source(DIGITS)
    labels = source.labels().targets
    sides = split(labels, max_images=len(labels), query_fraction=0.2, seed=0)
    train, query = (
        (backbone.features(source, side)[0].numpy(), labels[side])
        for side in (sides.train, sides.query)
    )
    return result, train, query


def test_knn_is_that_of_scikit_learn(digits):
    from sklearn.neighbors import KNeighborsClassifier

    result, (features, labels), (query, expected) = digits
    for k in (1, 20):
        neighbours = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.1)
        )
        top1 = neighbours.fit(features, labels).score(query, expected)
        assert result.top1("knn", k=k) == pytest.approx(top1, abs=1e-9)
        assert 0.3 < top1 < 1


def test_the_linear_classifier_is_that_of_scikit_learn(digits):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    result, (features, labels), (query, expected) = digits
    scaler = StandardScaler().fit(features.astype(np.float64))
    regression = LogisticRegression(C=1 / (len(labels) * 1e-3), tol=1e-8, max_iter=10_000)
    regression.fit(scaler.transform(features), labels)
    # One image may lie on the border between two classes.
    top1 = regression.score(scaler.transform(query), expected)
    assert result.top1("linear") == pytest.approx(top1, abs=1.01 / len(expected))
    best = np.argsort(regression.decision_function(scaler.transform(query)), axis=1)[:, -5:]
    top5 = (best == expected[:, None]).any(axis=1).mean()
    assert result.top5("linear") == pytest.approx(top5, abs=1.01 / len(expected))


def test_recall_at_one_is_the_accuracy_of_one_neighbour(digits):
    result = digits[0]
    assert result.of("retrieval")["recall_at_1"] == pytest.approx(result.top1("knn", k=1))


# --------------------------------------------------------------------------- results


@pytest.mark.slow
def test_a_result_says_what_it_was_measured_on(tmp_path):
    out = tmp_path / "new" / "results.json"
    result = evaluate(data=DIGITS, knn={"k": 20}, seed=3, out=out)
    (found,) = json.loads(out.read_text())["results"]
    assert (found,) == result.results
    assert result.out == out
    assert found["protocol"] == "knn"
    assert found["protocol_version"] == 1
    assert found["settings"] == {"k": 20, "temperature": 0.07}
    assert 0 < found["top1"] <= found["top5"] <= 1
    data = found["data"]
    assert (data["num_train"], data["num_val"], data["num_classes"]) == (1438, 359, 10)
    assert data["skipped_train"] == data["skipped_val"] == 0
    assert data["validation"] == "20% of each class of data, held out with seed 3"
    assert data["fingerprint"].startswith("1797 images, ")
    assert data["fingerprint"] != data["val_fingerprint"]
    assert found["seed"] == 3
    assert found["model"]["feature_dim"] == 32
    assert len(found["model"]["checksum"]) == 16
    assert found["versions"]["lightly_core"] == lightly_core.__version__
    assert found["device"] == "cpu"
    assert found["seconds"] >= 0


@pytest.mark.slow
def test_equal_settings_give_equal_results():
    settings = {"knn": {"k": (5, 20)}, "linear": {"penalties": (1e-3, 1e-2)}, "retrieval": True}
    pairs = zip(evaluate(**settings).results, evaluate(**settings).results, strict=True)
    for first, second in pairs:
        assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_features_are_computed_once_for_all_protocols(monkeypatch):
    calls = []
    real = Backbone.features

    def counted(self, source, indices=None):
        calls.append(len(indices))
        return real(self, source, indices)

    monkeypatch.setattr(Backbone, "features", counted)
    linear = {"solver": "sgd", "augment": True, "epochs": 1, "lr": 1.0, "min_scale": 0.5}
    result = evaluate(linear=linear, retrieval=True)
    assert calls == [240, 60]
    assert [found["protocol"] for found in result.results] == ["knn", "knn", "linear", "retrieval"]


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "augmented"])
def test_each_protocol_shows_its_progress(monkeypatch, capsys, solver):
    show_all_progress(monkeypatch)
    linear = {"solver": "lbfgs" if solver == "lbfgs" else "sgd"}
    if solver != "lbfgs":
        linear |= {"epochs": 2, "batch_size": 64, "augment": solver == "augmented"}
    finetune = {"epochs": 1, "batch_size": 64} if solver == "lbfgs" else False
    evaluate(linear=linear, finetune=finetune, retrieval=True, batch_size=64)
    shown = {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()}
    expected = {"Computing features"}
    if solver == "lbfgs":
        expected |= {"Choosing the penalty", "Fitting the classifier", "Fine-tuning, epoch 1 of 1"}
    else:
        expected |= {"Training the classifier"}
    assert expected <= shown


def test_results_are_found_by_protocol_and_settings():
    result = evaluate(knn={"k": (3, 7)})
    assert result.of("knn", k=7) is result.results[1]
    assert result.top1("knn") == result.results[0]["top1"]
    assert result.top5("knn", k=7) == result.results[1]["top5"]
    with pytest.raises(KeyError, match=r"no result of protocol 'knn' with \{'k': 5\}"):
        result.of("knn", k=5)


def test_sgd_on_features_reports_what_it_chose():
    linear = {"solver": "sgd", "lr": [0.1, 30.0], "epochs": 20}
    found = evaluate(knn=False, linear=linear).of("linear")
    assert found["lr"] == 30
    assert found["settings"]["epochs"] == 20
    assert found["top1"] > 0.3


def test_sgd_that_diverges_stops():
    linear = {"solver": "sgd", "lr": 3e38, "batch_norm": True}
    with pytest.raises(RunError, match="linear: the linear classifier diverged"):
        evaluate(knn=False, linear=linear)


def test_few_classes_make_top5_meaningless_and_few_images_reduce_k(folders):
    result = evaluate(data=folders("few", {"a": 5, "b": 5, "c": 5}), linear=True)
    notes = result.of("knn", k=20)["notes"]
    assert notes[0] == "k reduced from 20 to the number of images, 12"
    assert "top-5 is not meaningful with 3 classes" in notes[1]
    assert "top-5 is not meaningful with 3 classes" in result.of("linear")["notes"][-1]


def test_unreadable_images_are_left_out_and_counted(folders, tmp_path):
    data = folders("data", {"a": 6, "b": 6})
    val = folders("val", {"a": 3, "b": 3})
    (tmp_path / "data" / "a" / "2.png").write_bytes(b"nothing")
    (tmp_path / "val" / "b" / "0.png").write_bytes(b"")
    found = evaluate(data=data, val_data=val, knn={"k": 1}).of("knn")
    assert found["data"]["skipped_train"] == found["data"]["skipped_val"] == 1
    assert (found["data"]["num_train"], found["data"]["num_val"]) == (11, 5)
    assert found["notes"][0] == "2 images cannot be read and are skipped"
    assert found["data"]["validation"] == "val_data"


def test_labels_of_two_csv_files_may_share_one_folder(folders, tmp_path):
    data = folders("data", {"x": 8, "y": 8})
    for name, numbers in {"train": range(5), "val": range(5, 8)}.items():
        rows = [f"{c}/{i}.png,class {c}" for c in "xy" for i in numbers]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,label", *rows]))
    files = {"labels": tmp_path / "train.csv", "val_labels": tmp_path / "val.csv"}
    found = evaluate(data=data, val_data=data, knn={"k": 3}, **files).of("knn")
    assert (found["data"]["num_train"], found["data"]["num_val"]) == (10, 6)
    assert found["data"]["labels"].endswith("train.csv")


def test_classes_without_validation_image_are_told(folders):
    data = folders("data", {"a": 4, "b": 4, "c": 4})
    val = folders("val", {"a": 2, "c": 2})
    found = evaluate(data=data, val_data=val, knn={"k": 1}).of("knn")
    assert found["notes"][0] == "val_data has no image of 1 classes: b"
    assert found["data"]["num_classes"] == 3


def test_classes_with_one_image_are_left_out_of_a_split(folders):
    found = evaluate(data=folders("data", {"a": 4, "b": 4, "c": 1}), knn={"k": 1}).of("knn")
    assert found["notes"][0] == "1 classes with one image are skipped"
    assert found["data"]["num_classes"] == 2


# --------------------------------------------------------------------------- bad input


def test_a_class_that_is_missing_in_training_is_refused(folders):
    data, val = folders("data", {"a": 4, "b": 4}), folders("val", {"a": 2, "c": 2})
    with pytest.raises(DataError, match="1 classes without any image in data: c"):
        evaluate(data=data, val_data=val)


def test_images_of_one_class_are_refused(folders):
    with pytest.raises(DataError, match="one class, the folder 'a'"):
        evaluate(data=folders("data", {"a": 4}))


def test_classes_of_one_image_each_cannot_be_split(folders):
    with pytest.raises(DataError, match=r"of 3 classes .* fewer than two have at least two"):
        evaluate(data=folders("data", {"a": 1, "b": 1, "c": 5}))


def test_images_that_would_find_themselves_are_refused():
    with pytest.raises(DataError, match="1797 images that are in data too, such as 'digits/0000'"):
        evaluate(data=DIGITS, val_data=DIGITS)


def test_nothing_readable_is_refused(folders, tmp_path):
    data, val = folders("data", {"a": 4, "b": 4}), folders("val", {"a": 1, "b": 1})
    for file in (tmp_path / "val").rglob("*.png"):
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="val_data: none of the 2 images can be read"):
        evaluate(data=data, val_data=val)
    for file in (tmp_path / "data" / "a").glob("*.png"):
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="images of 1 of 2 classes can be read"):
        evaluate(data=data, val_data=folders("other", {"a": 1, "b": 1}))


def test_features_that_are_not_finite_are_refused():
    model = TinyConv()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(RunError, match="features of 240 of 240 images are nan or infinite"):
        evaluate(model=model)


def test_an_unreadable_export_is_refused(tmp_path):
    (tmp_path / "exported_last.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        evaluate(model=tmp_path / "exported_last.safetensors")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"data": "no_such_folder"}, "config.data: 'no_such_folder' does not exist"),
        ({"val_data": "no_such_folder"}, "config.val_data: 'no_such_folder' does not exist"),
        ({"knn": {"kk": 3}}, "unknown key 'kk'"),
        ({"knn": {"k": 0}}, "k: must be numbers >= 1"),
        ({"retrieval": {"k": []}}, "k: must be numbers >= 1"),
        ({"linear": {"lr": []}}, "config.linear.lr: must be numbers > 0"),
        ({"linear": {"penalties": [0.0]}}, "config.linear.penalties: must be numbers > 0"),
        ({"linear": {"epochs": 3}}, "epochs would be ignored with solver='lbfgs'"),
        (
            {"linear": {"solver": "sgd", "penalties": [1e-3], "min_scale": 0.5}},
            "penalties and min_scale would be ignored with solver='sgd' without augment",
        ),
        ({"finetune": {"optim": "adamw", "momentum": 0.5}}, "momentum belongs to optim='sgd'"),
        ({"knn": None, "linear": None}, "all protocols are off"),
        ({"labels": "no.csv"}, "config.labels: there is no file 'no.csv'"),
        ({"val_labels": __file__}, "config.val_labels: got no val_data"),
        ({"out": "."}, "is a folder; expected the name of a JSON file"),
        ({"out": f"{__file__}/a/b.json"}, "/a/b.json' cannot be created, as '"),
        ({"out": __file__}, "exists; choose another name, or set overwrite=true"),
    ],
)
def test_wrong_settings_are_told(settings, expected):
    with pytest.raises(ConfigError) as caught:
        evaluate(**settings)
    assert expected in str(caught.value)


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        evaluate(data="nowhere", knn=None, out=".", labels="no.csv")
    assert len(caught.value.problems) == 4


def test_an_existing_file_is_replaced_where_that_is_asked_for(tmp_path):
    (tmp_path / "out.json").write_text("old")
    evaluate(out=tmp_path / "out.json", overwrite=True)
    assert json.loads((tmp_path / "out.json").read_text())["results"]


@pytest.mark.slow
def test_mistakes_are_found_before_anything_heavy_is_imported():
    code = (
        "import sys\nfrom lightly_core.cli.main import main\n"
        "code = main(['evaluate', 'model=toy/net', 'data=nowhere', 'out=.'])\n"
        "print(code, *({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"]
    assert "config.data" in done.stderr
    assert "config.out" in done.stderr

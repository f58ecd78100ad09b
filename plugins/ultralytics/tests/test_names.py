"""Names of models: the list, and what is said of one that is not there."""

import re
from pathlib import Path

import pytest

import lightly_ultralytics
from lightly_core.errors import UnknownModelError
from lightly_core.models.probing import probe
from lightly_ultralytics import files
from lightly_ultralytics.names import header, model_names

MODELS_FILE = Path(lightly_ultralytics.__file__).with_name("models.txt")
LISTED = MODELS_FILE.read_text().splitlines()[1:]
#: Sizes differ in depth and width only.
LARGER = re.compile(r"yolov?\d+[smlx]\b|rtdetr-x")


def test_the_list_for_the_command_line_is_that_of_ultralytics():
    first, *listed = MODELS_FILE.read_text().splitlines()
    if first == header():
        assert listed == model_names()
    else:  # Another version may have more models, but it has the usual ones.
        assert {"yolov8n.yaml", "yolo11n-cls.yaml", "yolov8n.pt"} <= set(model_names())
    assert {"yolov9e.yaml", "yolo26n-obb.yaml", "rtdetr-l.yaml", "yolov5nu.pt"} <= set(listed)
    assert not [name for name in listed if "world" in name or "sam" in name.lower()]


@pytest.mark.families
@pytest.mark.parametrize("name", [n for n in LISTED if n.endswith("yaml") and not LARGER.match(n)])
def test_every_listed_description_can_be_built(name, create):
    assert probe(create(name), 3, 128).feature_size[0] in (2, 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolov8q.yaml", r"no model 'yolov8q.yaml'(?s:.*)did you mean 'yolov8\w.yaml'"),
        ("yolov8nn.pt", r"no model 'yolov8nn.pt'(?s:.*)did you mean 'yolov8n.pt'"),
        ("yolo11n-cls.ymal", r"no model 'yolo11n-cls.ymal'(?s:.*)'yolo11n-cls.yaml'"),
        ("sam_b.pt", r"no model 'sam_b.pt'"),
        ("coco", r"no model 'coco'"),
    ],
)
def test_unknown_names_get_a_suggestion(name, message, create):
    with pytest.raises(UnknownModelError, match=message):
        create(name)


def test_a_model_of_a_newer_version_says_so(create, monkeypatch):
    newer = ("ultralytics 99.0", ("yolo99n.yaml", "yolov8n.yaml"))
    monkeypatch.setattr(files, "newest_known", lambda: newer)
    with pytest.raises(UnknownModelError, match=r"ultralytics 99.0 has\n  pip install --upgrade"):
        create("yolo99n.yaml")


def test_a_name_without_ending_is_not_guessed(create):
    with pytest.raises(UnknownModelError) as caught:
        create("yolov8n")
    assert "'ultralytics/yolov8n.yaml' starts from random weights" in str(caught.value)
    assert "'ultralytics/yolov8n.pt' starts from weights that ultralytics" in str(caught.value)

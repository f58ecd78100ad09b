import numpy as np
import pytest

from lightly_core.config.options.settings import PythonObject
from lightly_core.data.labels import open_labelled, same_classes
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError

NAMES = ["cat/1.png", "cat/2.png", "dog/1.png"]


class Numbers:
    """A dataset that knows more classes than it has images of."""

    targets = (7, 2, 2)
    classes = tuple("abcdefghij")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def source(tmp_path, write_images):
    write_images(tmp_path / "images", NAMES)
    return open_source(str(tmp_path / "images"))


@pytest.fixture
def table(tmp_path):
    """Write a CSV and give its name."""

    def write(*lines, name="labels.csv"):
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        return str(tmp_path / name)

    return write


def refusal(*args, **kwargs):
    with pytest.raises(DataError) as caught:
        open_labelled(*args, what="data", **kwargs)
    return str(caught.value)


# --------------------------------------------------------------------------- class folders


def test_folders_are_classes(source):
    found = open_labelled(source, None, what="data")
    assert found.classes == ("cat", "dog")
    assert found.indices.tolist() == [0, 1, 2]
    assert found.targets.tolist() == [0, 0, 1]


def test_images_without_class_folders_are_refused(tmp_path, write_images):
    write_images(tmp_path, ["a/1.png", "b/1.png", "loose.png"])
    text = refusal(open_source(str(tmp_path)), None)
    assert "data: no labels: 'loose.png' is not in a class folder" in text
    assert "CSV with the columns image and label" in text


def test_one_class_folder_is_named(tmp_path, write_images):
    write_images(tmp_path, ["cat/1.png", "cat/2.png"])
    text = refusal(open_source(str(tmp_path)), None)
    assert "all 2 images are of one class, the folder 'cat'" in text


def test_a_list_of_folders_has_no_classes(tmp_path, write_images):
    write_images(tmp_path, NAMES)
    source = open_source([str(tmp_path / "cat"), str(tmp_path / "dog")])
    assert "class folders are used only if data is a single folder" in refusal(source, None)


# --------------------------------------------------------------------------- datasets


def test_a_dataset_may_know_classes_that_it_has_no_image_of():
    found = open_labelled(open_source(PythonObject(Numbers())), None, what="data")
    assert found.classes == ("c", "h")
    assert found.targets.tolist() == [1, 0, 0]


def test_a_dataset_without_labels_is_refused():
    dataset = Numbers()
    dataset.targets = None
    assert "no attribute 'targets' or 'labels'" in refusal(open_source(PythonObject(dataset)), None)


# --------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("header", ["image,label", "Filename, Class ", "split,name,target"])
def test_a_csv_gives_classes_by_name(source, table, header):
    columns = header.count(",") - 1
    rows = [f"{'x,' * columns}{name},{label}" for name, label in zip(NAMES, "bab", strict=True)]
    found = open_labelled(source, table(header, *rows), what="data")
    assert found.classes == ("a", "b")
    assert found.targets.tolist() == [1, 0, 1]


def test_a_csv_may_have_a_byte_order_mark_quotes_and_any_order(source, table):
    file = table("\ufeffimage,label", 'dog/1.png,"x, y"', "cat/1.png,z")
    found = open_labelled(source, file, what="data")
    assert found.classes == ("x, y", "z")
    assert found.indices.tolist() == [0, 2]
    assert found.targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["picture,label", "cat/1.png,a"], "has the columns picture, label; expected a header"),
        ([""], "has the columns none; expected a header"),
        (["image,label"], "has no rows"),
        (["image,label", "cat/1.png,a", "cat/2.png"], "line 3 of"),
        (["image,label", "cat/1.png,a", "cat/1.png,b"], "'cat/1.png' two labels, 'a' and 'b'"),
        (["image,label", "cat/1.png,a", "cow/1.png,b"], "1 images that are not in the data: cow/1"),
        (["image,label", "cat/1.png,a", "cat/2.png,a"], "2 images are of one class, 'a'"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused(source, table, lines, expected):
    assert expected in refusal(source, table(*lines))


def test_an_unknown_image_is_answered_with_a_name_that_is_known(source, table):
    text = refusal(source, table("image,label", "images/cat/1.png,a", "cat/2.png,b"))
    assert "expected names such as 'cat/1.png'" in text


def test_a_file_that_is_no_text_is_refused(source, tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"image,label\n\xff\xfe\x00,a\n")
    assert "is not a CSV in UTF-8" in refusal(source, str(tmp_path / "labels.csv"))


def test_a_missing_file_is_refused(source, tmp_path):
    assert "there is no file" in refusal(source, str(tmp_path / "no.csv"))


def test_one_csv_may_name_the_images_of_two_sets(source, table, tmp_path, write_images):
    write_images(tmp_path / "val", ["x.png", "y.png"])
    val = open_source(str(tmp_path / "val"))
    file = table("image,label", "cat/1.png,a", "dog/1.png,b", "x.png,a", "y.png,b")
    found = open_labelled(source, file, what="data", other=val)
    assert found.indices.tolist() == [0, 2]
    assert open_labelled(val, file, what="val_data", other=source).indices.tolist() == [0, 1]
    assert "2 images that are not in the data" in refusal(source, file)


# --------------------------------------------------------------------------- two sets


def two_sets(table, source, *labels):
    def opened(number, letters):
        rows = [f"{name},{letter}" for name, letter in zip(NAMES, letters, strict=True)]
        file = table("image,label", *rows, name=f"{number}.csv")
        return open_labelled(source, file, what="data")

    return [opened(*each) for each in enumerate(labels)]


def test_classes_are_matched_by_name(source, table):
    train, val = two_sets(table, source, "abc", "cac")
    train, val, notes = same_classes(train, val)
    assert train.classes == val.classes == ("a", "b", "c")
    assert val.targets.tolist() == [2, 0, 2]
    assert notes == ("val_data has no image of 1 classes: b",)


def test_equal_classes_need_no_note(source, table):
    assert same_classes(*two_sets(table, source, "aba", "baa"))[2] == ()


def test_a_class_without_training_image_is_refused(source, table):
    with pytest.raises(DataError, match="1 classes without any image in data: c") as caught:
        same_classes(*two_sets(table, source, "aab", "acb"))
    assert "data has a, b" in str(caught.value)


def test_a_part_keeps_numbers_until_empty_classes_are_taken_out(source):
    part = open_labelled(source, None, what="data").part(np.array([2]))
    assert part.indices.tolist() == [2]
    assert part.targets.tolist() == [1]
    fewer = part.without_empty_classes()
    assert (fewer.classes, fewer.targets.tolist()) == (("dog",), [0])

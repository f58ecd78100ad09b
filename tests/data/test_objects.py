import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from lightly_core.config.options.settings import PythonObject
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError


class Items:
    """A data set of given items."""

    def __init__(self, *items, **attributes):
        self.items = items
        self.__dict__.update(attributes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
TENSOR = torch.from_numpy(PICTURE.transpose(2, 0, 1).copy())


@pytest.mark.parametrize(
    "item",
    [
        Image.fromarray(PICTURE),
        PICTURE,
        TENSOR,
        TENSOR / 255,
        PICTURE / 255,
        PICTURE.astype(np.uint16) * 257,
        (PICTURE, 3),
        [TENSOR, 3],
        {"label": 3, "image": PICTURE},
        {"pixels": PICTURE, "label": 3},
    ],
)
def test_items_of_datasets(item):
    source = open_source(PythonObject(Items(item)))
    image = np.asarray(source.load(0))
    assert image.shape == (6, 8, 3)
    scaled = image / 255 if image.dtype == np.uint8 else image
    assert image.dtype in (np.uint8, np.float32)
    assert np.allclose(scaled, PICTURE / 255, atol=1e-6)
    assert source.name(0) == "Items/0"


@pytest.mark.parametrize("item", [PICTURE[:, :, 0], TENSOR[0], TENSOR[:1], PICTURE[:, :, :1]])
def test_grey_items_are_repeated(item):
    image = open_source(PythonObject(Items(item))).load(0)
    assert np.array_equal(image, np.repeat(PICTURE[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (TENSOR.float() / 255 * 4 - 2, "float pixels from -2"),
        (TENSOR.permute(1, 2, 0), r"6 channel\(s\), expected 3"),
        (np.zeros((3, 5, 6), np.uint8), r"an array of shape \(3, 5, 6\).*transpose\(1, 2, 0\)"),
        (PICTURE.astype(np.int64), "pixels of type int64"),
        ("a.png", "a str, expected a Pillow image"),
        ((), "an empty tuple"),
        ({}, "an empty dict"),
        (np.zeros((0, 4, 3), np.uint8), "not an image"),
    ],
)
def test_items_that_are_no_images(item, reason):
    with pytest.raises(Exception, match=f"^{reason}"):
        open_source(PythonObject(Items(item))).load(0)


@pytest.mark.parametrize("attribute", ["targets", "labels"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_of_datasets(attribute, kind):
    items = Items(*[PICTURE] * 4, **{attribute: kind([2, 0, 2, 1])}, classes=["a", "b", "c"])
    labels = open_source(PythonObject(items)).labels()
    assert labels.targets.tolist() == [2, 0, 2, 1]
    assert labels.classes == ("a", "b", "c")


def test_label_numbers_with_gaps_and_no_names_are_counted_through():
    labels = open_source(PythonObject(Items(*[PICTURE] * 3, targets=[70, 5, 70]))).labels()
    assert labels.targets.tolist() == [1, 0, 1]
    assert labels.classes == ("5", "70")


@pytest.mark.parametrize(
    "targets", [[1, 2], [0.5, 1.5, 2.5], [0, -1, 1], [1, 1, 1], None, [[1], [2], [3]], "abc"]
)
def test_what_names_no_class_per_image_is_no_label(targets):
    assert open_source(PythonObject(Items(*[PICTURE] * 3, targets=targets))).labels() is None


def test_labels_are_not_searched_for_in_the_items():
    assert open_source(PythonObject(Items((PICTURE, 0), (PICTURE, 1)))).labels() is None


class Stream(IterableDataset):
    def __iter__(self):
        return iter([PICTURE])


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        (Stream(), "Stream is an iterable dataset"),
        (3, r"got 3 \(int\) without __len__ and __getitem__"),
        (Items(), "is empty"),
    ],
)
def test_unusable_objects_are_refused(dataset, text):
    with pytest.raises(DataError, match=text):
        open_source(PythonObject(dataset))


def test_digits():
    source = open_source("builtin:digits", num_channels=1)
    images = np.stack([np.asarray(source.load(index)) for index in range(len(source))])
    labels = source.labels()
    assert images.shape == (1797, 8, 8)
    assert len(np.unique(images)) == 17
    assert (images.min(), images.max()) == (0, 255)
    counts = "178 182 177 183 181 182 181 179 174 180"
    assert np.bincount(labels.targets).tolist() == [int(count) for count in counts.split()]
    assert labels.classes == tuple("0123456789")
    assert open_source("builtin:digits").load(0).mode == "RGB"


@pytest.mark.parametrize(("classes", "names"), [("ab", ("0", "1", "2")), ("abc", ("a", "b", "c"))])
def test_names_are_taken_only_where_there_is_one_for_the_largest_label(classes, names):
    items = Items(*[PICTURE] * 3, targets=[0, 2, 1], classes=list(classes))
    assert open_source(PythonObject(items)).labels().classes == names

"""What the page shows of the images: neighbours, their classes and the sentences about them."""

import numpy as np
import pytest

from lightly_core.reporting.images import ImageSet
from lightly_core.reporting.maps import map_of, tile_style
from lightly_core.reporting.pictures import Sheet

SHEET = Sheet(address="data:x", columns=4, rows=3, width=16, height=8)


def circle(number):
    """Features at growing distances: of two equally far numbers the smaller one is nearer."""
    angles = np.linspace(0, 1, number) ** 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def images(labels, *states, features=None, **changes):
    """A set of images called 0, 1, 2 ..., with the same features in each state."""
    rows = circle(len(labels)) if features is None else features
    values = {
        "names": [str(number) for number in range(len(labels))],
        "labels": np.asarray(labels, np.int64),
        "classes": ["cat", "dog", "eel"],
        "from_val_data": False,
        "thumbnails": SHEET,
        "features": dict.fromkeys(states, rows),
        "patches": {},
    }
    return ImageSet(**{**values, **changes})


def test_ten_images_of_as_many_classes_as_possible_have_their_five_nearest():
    labels = [0] * 9 + [1, 1, -1]
    shown = map_of(images(labels, "before", "after"), 0, umap=False).neighbours
    texts = [one.query.text for one in shown]
    # The first cat, the first dog and the first image without a class; then the others.
    assert texts[:4] == ["0, class cat", "9, class dog", "11", "1, class cat"]
    assert len(texts) == 10
    found = shown[1].found
    assert list(found) == ["before", "after"]
    assert [tile.text for tile in found["after"]] == [
        *("8, class cat", "10, class dog", "7, class cat", "11", "6, class cat")
    ]
    assert [tile.same for tile in found["after"]] == [False, True, False, None, False]
    assert shown[1].query.same is None


def test_the_sentences_count_neighbours_of_the_same_class():
    # Of six images each has all five others as neighbours: 2, 2, 2, 1, 1 and 0 of their class.
    known = images([0, 0, 0, 1, 1, 2], "before", from_val_data=True)
    assert map_of(known, 0, umap=False).note == (
        "6 images of val_data, placed by their features. Of the 5 nearest neighbours of an image, "
        "27 % before training are of its class. The features after training are not known."
    )
    unknown = images([-1] * 6, "after")
    assert map_of(unknown, 0, umap=False).note == (
        "6 training images, placed by their features. The features before training are not known."
    )


def test_images_without_features_have_no_point_and_too_few_have_no_map():
    rows = circle(7)
    rows[[2, 3]] = 0
    drawn = map_of(images([0] * 7, "after", features=rows), 0, umap=False).drawn
    points = drawn["layouts"]["PCA"]["after"]["points"]
    assert [number for number, point in enumerate(points) if point is None] == [2, 3]
    rows[4] = 0
    assert map_of(images([0] * 7, "after", features=rows), 0, umap=False) is None


@pytest.mark.parametrize(
    ("number", "place"), [(0, "0% 0%"), (3, "100% 0%"), (5, "33.33% 50%"), (10, "66.67% 100%")]
)
def test_a_picture_is_cut_out_of_its_sheet(number, place):
    assert tile_style(SHEET, "images-2", number) == (
        "background-image:var(--images-2);background-size:400% 300%;"
        f"background-position:{place};aspect-ratio:16/8"
    )
    assert tile_style(None, "images-2", number) == ""


def test_a_sheet_with_one_picture_is_shown_from_its_corner():
    sheet = Sheet(address="data:x", columns=1, rows=1, width=8, height=8)
    assert "background-position:0% 0%" in tile_style(sheet, "a", 0)


def test_patches_are_shown_for_the_images_of_all_their_sheets():
    patches = {"before": Sheet("data:b", 3, 1, 4, 4), "after": Sheet("data:a", 2, 1, 4, 4)}
    found = map_of(images([0] * 6, "after", patches=patches), 4, umap=False)
    assert [(one.image.text, list(one.maps)) for one in found.patches] == [
        ("0, class cat", ["before", "after"]),
        ("1, class cat", ["before", "after"]),
    ]
    assert found.sheets == {
        "images-4": "data:x",
        "patches-before-4": "data:b",
        "patches-after-4": "data:a",
    }
    assert map_of(images([0] * 6, "after", thumbnails=None), 4, umap=False).patches == []

"""The search for files, compared with a slow form, on names that are easily sorted wrongly."""

import hashlib
import os
import random
import sys

import numpy as np
import pytest

from lightly_core.data.fingerprint import contents
from lightly_core.data.folder import FolderSource
from lightly_core.data.packed import packed, unpacked
from lightly_core.data.paths import Listing, list_elements, list_folder

#: Letters around "/" in the order of code points, letters of several bytes, and an ending.
_PARTS = ("a", "a-", "a,", "a0", "b", " b", "é", "\u20ac", "\U0001f600", "a.jpg")


def touch_all(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def random_names(seed, number):
    """Paths of up to three folders; no path is also a folder of another one."""
    rng = random.Random(seed)
    names = set()
    for _ in range(number):
        folders = [rng.choice(_PARTS) for _ in range(rng.randrange(4))]
        names.add("/".join([*folders, f"{rng.choice(_PARTS)}{rng.randrange(3)}.png"]))
    return names


@pytest.mark.parametrize("seed", range(3))
def test_all_files_are_found_in_the_order_of_code_points(tmp_path, seed):
    names = random_names(seed, 200)
    touch_all(tmp_path, names)
    assert unpacked(list_folder(str(tmp_path)).names) == sorted(names)


def test_a_linked_folder_is_sorted_by_the_name_of_the_link(tmp_path):
    touch_all(tmp_path / "data", ["a.png", "c.png"])
    touch_all(tmp_path / "far", ["1.png", "2.png"])
    (tmp_path / "data/b").symlink_to(tmp_path / "far", target_is_directory=True)
    found = list_folder(str(tmp_path / "data"))
    assert unpacked(found.names) == ["a.png", "b/1.png", "b/2.png", "c.png"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="not allowed as names there")
def test_bytes_that_are_no_text_are_sorted_too(tmp_path):
    names = [b"caf\xe9.png", "café.png".encode(), b"cafz.png"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    found = unpacked(list_folder(str(tmp_path)).names)
    assert [os.fsencode(name) for name in found] == [names[2], names[1], names[0]]


@pytest.mark.parametrize(
    ("files", "root", "names"),
    [
        (["a/b/1.png", "a/b/2.png"], "a/b", ["1.png", "2.png"]),
        (["a/b/1.png", "a/bc/2.png"], "a", ["b/1.png", "bc/2.png"]),
        (["a/b.png", "a/b/1.png", "a/b-/1.png"], "a", ["b-/1.png", "b.png", "b/1.png"]),
        (["a/1.png"], "a", ["1.png"]),
    ],
)
def test_files_are_named_from_the_folder_that_holds_all(tmp_path, files, root, names):
    touch_all(tmp_path, files)
    found = list_elements([str(tmp_path / file) for file in files])
    assert found.root == os.path.realpath(tmp_path / root).replace(os.sep, "/")
    assert unpacked(found.names) == names


@pytest.mark.parametrize("seed", range(3))
def test_classes_equal_those_of_a_loop_over_the_names(seed):
    rng = random.Random(seed)
    names = sorted(
        f"{folder}/{number}.png" for folder in _PARTS for number in range(rng.choice((1, 2, 3, 70)))
    )
    labels = FolderSource(Listing("", packed(names)), class_folders=True).labels()
    assert labels.classes == tuple(sorted(_PARTS))
    found = [labels.classes[target] for target in labels.targets]
    assert found == [name.partition("/")[0] for name in names]


def test_the_digest_of_names_is_that_of_earlier_runs():
    names = ["a/é.png", "b.png"]
    encoded = [name.encode() for name in names]
    ends = np.cumsum([len(name) for name in encoded]).astype("<i8")
    expected = hashlib.sha256(b"".join(encoded) + ends.tobytes()).hexdigest()[:16]
    assert contents(FolderSource(Listing("/nowhere", packed(names))))["names"] == expected

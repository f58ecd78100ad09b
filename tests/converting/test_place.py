"""A file or folder gets into its place whole, with the rights that others of the user have."""

import os
import stat

import pytest

from lightly_core.converting.place import staged
from lightly_core.errors import ConfigError


@pytest.fixture
def umask():
    """Files of this process are not for others, and those of its group cannot write them."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def write(path, **files):
    with staged(path, folder=True) as place:
        place.mkdir()
        for name, text in files.items():
            (place / name).write_text(text)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_folder_has_the_usual_rights_and_those_of_later_files_stay_the_same(tmp_path, umask):
    write(tmp_path / "below/model", a="1")
    assert stat.S_IMODE((tmp_path / "below/model").stat().st_mode) == 0o750
    later = tmp_path / "later"
    later.touch()
    assert stat.S_IMODE(later.stat().st_mode) == 0o640


def test_an_export_replaces_one_with_the_same_files_and_leaves_nothing_behind(tmp_path):
    write(tmp_path / "model", a="1", b="1")
    write(tmp_path / "model", a="2", b="2", c="2")
    assert content(tmp_path / "model") == {"a": "2", "b": "2", "c": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_files_is_refused_and_the_first_are_named(tmp_path):
    write(tmp_path / "model", **dict.fromkeys("abcde", "1"))
    with pytest.raises(ConfigError, match=r"not of this format: b, c, d, \.\.\.\n"):
        write(tmp_path / "model", a="2")
    with pytest.raises(ConfigError, match=r"not of this format: c, d, e\n"):
        write(tmp_path / "model", a="2", b="2")
    assert content(tmp_path / "model") == dict.fromkeys("abcde", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("folder", [False, True])
def test_after_an_error_the_old_one_is_still_there(tmp_path, folder):
    path = tmp_path / "model"
    write(path, a="1") if folder else path.write_text("1")

    def fail():
        with staged(path, folder=folder) as place:
            place.mkdir() if folder else place.write_text("2")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert content(path) == {"a": "1"} if folder else path.read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

import errno
import os
import stat
from contextlib import nullcontext

import pytest

from lightly_core.atomic import atomic_path
from lightly_core.places import place_problem


@pytest.fixture
def place(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "nothing").symlink_to(tmp_path / "gone")
    return tmp_path


@pytest.mark.parametrize("name", ["new", "new/and/deeper", "file", "ü" * 127])
def test_nothing_speaks_against_a_place_that_can_be_written(place, name):
    assert place_problem(place / name) is None
    assert sorted(os.listdir(place)) == ["file", "nothing"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("file/out", "file' is a file"),
        ("file/a/b", "file' is a file"),
        ("/dev/null/x", "/dev/null' is a file"),
        ("nothing/out", "nothing' is a link to nothing"),
        ("a\0b", "NUL character"),
        ("n" * 300, "has a name of 300 bytes, but the file system allows 255"),
        ("a/" + "ü" * 200 + "/b", "has a name of 400 bytes"),
    ],
)
def test_a_place_that_cannot_be_made_is_told_with_the_reason(place, name, expected):
    assert expected in place_problem(place / name)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_folder_without_permission_is_named(place, monkeypatch, read_only):
    # Not by chmod: the tests may run as root, who may write everywhere.
    folder = place / "there"
    folder.mkdir(mode=stat.S_IRUSR)
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != os.fspath(folder))
    monkeypatch.setattr("lightly_core.places._is_read_only", lambda path: read_only)
    problem = place_problem(folder / "a" / "b")
    assert ("read-only" if read_only else "permission denied") in problem
    assert problem.endswith(f"in '{folder}'")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3:/bucket/x", "an address that starts with 's3://'"),
        ("https:/a.b/c", "an address that starts with 'https://'"),
        ("$HOME/x", "contains the variable '$HOME'"),
        ("x/${HOME}", "contains the variable '${HOME}'"),
        ("%HOME%/x", "contains the variable '%HOME%'"),
    ],
)
def test_addresses_and_variables_are_no_names_of_folders(place, monkeypatch, name, expected):
    monkeypatch.setenv("HOME", "/home/me")
    assert expected in place_problem(place / name)


@pytest.mark.parametrize("name", ["c:/x", "price$HOMELY", "50%HOME", "a:b"])
def test_names_that_only_look_like_them_are_taken(place, name):
    assert place_problem(place / name) is None


@pytest.mark.parametrize("linked", [True, False])
def test_devices_and_pipes_are_not_replaced_by_files(place, linked):
    os.mkfifo(place / "pipe")  # not a device of the machine, which a fault would replace
    (place / "link").symlink_to("pipe")
    assert "is a device, a pipe" in place_problem(place / ("link" if linked else "pipe"))
    with (
        pytest.raises(FileExistsError, match="A device, a pipe"),
        atomic_path(place / "pipe") as temporary,
    ):
        temporary.write_text("x")
    assert stat.S_ISFIFO((place / "pipe").stat().st_mode)
    assert not list(place.glob(".*"))


@pytest.mark.parametrize(
    ("number", "is_lost"),
    [
        *[(number, True) for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO)],
        *[(number, False) for number in (errno.EINVAL, errno.EBADF, errno.ENOTSUP)],
    ],
)
def test_a_file_that_did_not_reach_the_disk_takes_no_place(place, monkeypatch, number, is_lost):
    # A network share says that it is full when it is asked for the rest, and not before.
    def fail(handle):
        raise OSError(number, "as the system says")

    monkeypatch.setattr(os, "fsync", fail)
    expected = pytest.raises(OSError, match="as the system says") if is_lost else nullcontext()
    with expected, atomic_path(place / "file") as temporary:
        temporary.write_text("new")
    assert (place / "file").read_text() == ("x" if is_lost else "new")
    assert sorted(os.listdir(place)) == ["file", "nothing"]


def test_a_folder_that_cannot_be_flushed_is_no_failure(place, monkeypatch):
    flush = os.fsync

    def fail_for_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "as the system says")
        flush(handle)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    with atomic_path(place / "file") as temporary:
        temporary.write_text("new")
    assert (place / "file").read_text() == "new"

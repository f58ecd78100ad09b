import os
import pickle
import random

import numpy as np
import pytest
from PIL import Image

from lightly_core.config.options.settings import RunConfig
from lightly_core.data import endings
from lightly_core.data.check import check_data
from lightly_core.data.endings import IMAGE_SUFFIXES
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError


def names(source):
    return [source.name(index) for index in range(len(source))]


def value(image):
    return int(np.asarray(image).flat[0])


# ------------------------------------------------------------------ folders


@pytest.fixture
def nothing_installed(monkeypatch):
    """No package that reads further formats."""
    monkeypatch.setattr(endings, "find_spec", lambda module: None)
    endings.image_suffixes.cache_clear()
    yield
    endings.image_suffixes.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
def test_only_image_endings_count(tmp_path):
    taken = [f"a{ending}" for ending in sorted(IMAGE_SUFFIXES)] + ["b.JPG", "c.d.PnG"]
    not_taken = [
        *("a.txt", "a.jpg.part", "jpg", "a.h5", "a.mpg", "a.psd", "a.eps", "a.heic", "a.svg"),
        *(".hidden.jpg", "._a.jpg", ".cache/a.jpg", "__MACOSX/a.jpg", "Thumbs.db"),
    ]
    for name in taken + not_taken:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert names(open_source(str(tmp_path))) == sorted(taken)


def test_order_depends_on_the_names_only(tmp_path, write_images):
    given = ["b/2.png", "b/10.png", "a-1.png", "a/x.png", "B/z.png", "é.png", "\U0001f600.png"]
    orders = []
    for shuffle in range(3):
        shuffled = random.Random(shuffle).sample(given, len(given))
        write_images(tmp_path / str(shuffle), shuffled)
        orders.append(names(open_source(str(tmp_path / str(shuffle)))))
    assert orders == [sorted(given)] * 3


def test_loads_the_image_that_it_names(tmp_path, write_images):
    write_images(tmp_path, ["c.png", "a.png", "sub/ü ☃.png"])
    source = open_source(str(tmp_path), num_channels=1)
    assert {source.name(i): value(source.load(i)) for i in range(3)} == {
        "c.png": 0,
        "a.png": 1,
        "sub/ü ☃.png": 2,
    }


@pytest.mark.parametrize("index", [-1, 1])
def test_no_image_outside_of_the_range(tmp_path, write_images, index):
    write_images(tmp_path, ["a.png"])
    with pytest.raises(IndexError):
        open_source(str(tmp_path)).name(index)


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_names_that_are_no_valid_text_work(tmp_path):
    Image.new("L", (8, 8), 7).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    source = open_source(str(tmp_path), num_channels=1)
    assert value(source.load(0)) == 7


def test_links_in_a_circle_end(tmp_path, write_images, caplog):
    write_images(tmp_path / "data", ["real/a.png"])
    (tmp_path / "data/real/up").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "data/alias").symlink_to(tmp_path / "data/real", target_is_directory=True)
    assert names(open_source(str(tmp_path / "data"))) == ["real/a.png"]
    assert "links to folders that are already read" in caplog.text


def test_linked_folders_and_files_are_followed(tmp_path, write_images):
    write_images(tmp_path / "elsewhere", ["a.png", "b.png"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dir").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data/file.png").symlink_to(tmp_path / "elsewhere/a.png")
    (tmp_path / "data/gone.png").symlink_to(tmp_path / "nowhere.png")
    expected = ["dir/a.png", "dir/b.png", "file.png", "gone.png"]
    assert names(open_source(str(tmp_path / "data"))) == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_image(tmp_path, write_images):
    write_images(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "b.png")
    assert names(open_source(str(tmp_path))) == ["a.png"]


def test_survives_pickling(tmp_path, write_images):
    write_images(tmp_path, ["a/1.png", "b/2.png"])
    source = open_source(str(tmp_path), num_channels=1)
    copy = pickle.loads(pickle.dumps(source))
    assert names(copy) == names(source)
    assert value(copy.load(1)) == 1


# ------------------------------------------------------------------ labels


def test_class_folders_are_labels(tmp_path, write_images):
    write_images(tmp_path, ["dog/1.png", "cat/x/2.png", "cat-2/3.png", "cat/4.png"])
    (tmp_path / "empty").mkdir()
    source = open_source(str(tmp_path))
    labels = source.labels()
    assert labels.classes == ("cat", "cat-2", "dog")
    assert labels.targets.dtype == np.int64
    found = {name: labels.classes[t] for name, t in zip(names(source), labels.targets, strict=True)}
    assert found == {
        "cat/4.png": "cat",
        "cat/x/2.png": "cat",
        "cat-2/3.png": "cat-2",
        "dog/1.png": "dog",
    }
    assert labels.origin == f"3 class folders of {tmp_path}"


@pytest.mark.parametrize(
    "layout", [["a/1.png", "b/2.png", "3.png"], ["a/1.png", "a/2.png"], ["1.png", "2.png"]]
)
def test_other_layouts_have_no_labels(tmp_path, write_images, layout):
    write_images(tmp_path, layout)
    assert open_source(str(tmp_path)).labels() is None


def test_lists_and_globs_have_no_labels(tmp_path, write_images):
    write_images(tmp_path, ["a/1.png", "b/2.png"])
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert open_source(folders).labels() is None
    assert open_source(str(tmp_path / "*")).labels() is None
    assert open_source(folders[:1]).labels() is None


# ------------------------------------------------------------------ lists, globs, text files


def test_a_list_of_folders_and_files(tmp_path, write_images):
    write_images(tmp_path, ["x/1.png", "x/sub/2.png", "y/3.png", "y/4.png"])
    source = open_source([str(tmp_path / "y/4.png"), str(tmp_path / "x")], num_channels=1)
    assert names(source) == ["x/1.png", "x/sub/2.png", "y/4.png"]
    assert [value(source.load(index)) for index in range(3)] == [0, 1, 3]


def test_the_order_of_a_list_does_not_matter(tmp_path, write_images):
    paths = [str(path) for path in write_images(tmp_path, ["b/1.png", "a/2.png", "c/3.png"])]
    assert names(open_source(paths)) == names(open_source(paths[::-1]))


def test_duplicates_count_once_with_a_warning(tmp_path, write_images, caplog):
    write_images(tmp_path, ["x/1.png", "x/2.png"])
    (tmp_path / "link").symlink_to(tmp_path / "x", target_is_directory=True)
    given = [str(tmp_path / "x"), str(tmp_path / "x/../x/1.png"), str(tmp_path / "link/2.png")]
    assert names(open_source(given)) == ["1.png", "2.png"]
    assert "2 images are named more than once" in caplog.text


def test_a_single_image_is_a_data_set(tmp_path, write_images):
    (path,) = write_images(tmp_path, ["a.png"])
    assert names(open_source(str(path))) == ["a.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["1.png"]),
        ("**/*.png", ["1.png", "a/2.png", "a/b/3.png"]),
        ("**", ["1.png", "a/2.png", "a/b/3.png"]),
        ("a*", ["2.png", "b/3.png"]),
        ("[12].*", ["1.png"]),
    ],
)
def test_globs(tmp_path, write_images, caplog, pattern, expected):
    write_images(tmp_path, ["1.png", "a/2.png", "a/b/3.png"])
    (tmp_path / "1.txt").write_text("no image")
    assert names(open_source(str(tmp_path / pattern))) == expected
    assert not caplog.records


def test_a_folder_with_brackets_is_no_glob(tmp_path, write_images):
    write_images(tmp_path / "run[1]", ["a.png"])
    assert names(open_source(str(tmp_path / "run[1]"))) == ["a.png"]


@pytest.mark.parametrize("ending", ["txt", "csv", "lst"])
def test_a_text_file_of_paths(tmp_path, write_images, ending):
    write_images(tmp_path, ["in/1.png", "in/ü 2.png", "far/3.png", "dir/4.png"])
    text = f"\ufeff# a comment\n1.png\r\n\n  ü 2.png  \n{tmp_path}/far/3.png\n../dir\n"
    (tmp_path / f"in/list.{ending}").write_text(text, encoding="utf-8", newline="")
    source = open_source(str(tmp_path / f"in/list.{ending}"))
    assert names(source) == ["dir/4.png", "far/3.png", "in/1.png", "in/ü 2.png"]


def test_missing_lines_are_named_and_counted(tmp_path, write_images):
    write_images(tmp_path, ["1.png"])
    lines = ["1.png", *(f"gone{number}.png" for number in range(7))]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"7 of the 8 paths .*gone0.png.*gone4.png and 2 more"):
        open_source(str(tmp_path / "list.txt"))


def test_lines_that_are_no_images_are_named(tmp_path, write_images):
    write_images(tmp_path, ["1.png"])
    (tmp_path / "a.doc").touch()
    (tmp_path / "list.txt").write_text("1.png\na.doc\n")
    with pytest.raises(DataError, match=r"names 1 file\(s\) that are not images: .*a.doc"):
        open_source(str(tmp_path / "list.txt"))


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a UTF-8 text file"):
        open_source(str(tmp_path / "list.txt"))


# ------------------------------------------------------------------ nothing to read


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match=r"no images in '.*': found no files; expected endings"):
        open_source(str(tmp_path))


@pytest.mark.usefixtures("nothing_installed")
def test_a_folder_without_images_says_what_is_there(tmp_path):
    for name in ["a.txt", "sub/b.txt", "c.heic", "README"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        DataError, match=r"4 other files \(2 .txt, 1 without ending, 1 .heic\).*install pillow-heif"
    ):
        open_source(str(tmp_path))


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("others", "level", "text"),
    [
        (["a.heic", "b.HEIC"], "WARNING", "2 files skipped: 2 .heic; install pillow-heif to read"),
        (["a.heic", "b.dcm"], "WARNING", "install pillow-heif pydicom to read .dcm .heic"),
        (["README", "b.csv"], "INFO", "2 files skipped: 1 without ending, 1 .csv"),
        (["x.\x1b[31m"], "INFO", "1 file skipped: 1 .\\x1b[31m"),
    ],
)
def test_files_left_out_are_counted_once(tmp_path, write_images, caplog, others, level, text):
    write_images(tmp_path, ["a.png"])
    for name in others:
        (tmp_path / name).touch()
    with caplog.at_level("INFO"):
        open_source(str(tmp_path))
    (record,) = caplog.records
    assert record.levelname == level
    assert text in record.getMessage()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_counted(tmp_path, write_images, caplog):
    write_images(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    with caplog.at_level("INFO"):
        assert names(open_source(str(tmp_path))) == ["a.png"]
    assert "2 files skipped: 2 pipe or device" in caplog.text
    assert "self.jpg' (" in caplog.text


def test_a_list_that_names_an_image_of_an_absent_package(tmp_path, nothing_installed):
    (tmp_path / "a.heic").touch()
    (tmp_path / "list.txt").write_text("a.heic\n")
    with pytest.raises(DataError, match="install pillow-heif to read them"):
        open_source(str(tmp_path / "list.txt"))


def test_a_list_without_images_or_text(tmp_path):
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match=r"no images in '.*list.txt': found no files"):
        open_source(str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("{tmp}/imagse", "does not exist, did you mean '{tmp}/images'?"),
        ("{tmp}/no/such", "does not exist, nor does the folder '{tmp}/no'"),
        ("{tmp}/*.xyz", "no file matches '{tmp}/*.xyz'"),
        ("[a/b,c]", """no file matches '[a/b,c]'; a list is written with quotes: '["a/b", "c"]'"""),
        ("{tmp}/notes.pdf", "'{tmp}/notes.pdf' is not an image"),
        ("{tmp}/a.zip", "is an archive; unpack it"),
        ("nowhere://bucket/images", "unknown scheme 'nowhere:' of"),
        ("builtin:digit", "did you mean 'builtin:digits'?"),
        ("builtin:mnist", "known: 'builtin:digits'"),
        (" ", "got an empty text"),
        ("/proc", "'/proc' is a folder of the operating system"),
        ("/dev/null", "'/dev/null' is a pipe or device"),
        ("a\0b", "'a\\x00b' contains a NUL character"),
        ("\x1bgone", "'\\x1bgone' does not exist"),
        (["{tmp}/images", "{tmp}/gone"], "'{tmp}/gone' does not exist"),
        (["builtin:digits"], "cannot be part of a list"),
    ],
)
def test_mistakes_are_found_from_outside(tmp_path, data, text):
    (tmp_path / "images").mkdir()
    (tmp_path / "notes.pdf").touch()
    (tmp_path / "a.zip").touch()
    paths = {"tmp": tmp_path}
    data = data.format(**paths) if isinstance(data, str) else [d.format(**paths) for d in data]
    (problem,) = check_data(RunConfig(out="out", model="m/n", data=data))
    assert problem.startswith("config.data: ")
    assert text.format(**paths) in problem
    with pytest.raises(DataError) as caught:
        open_source(data)
    assert text.format(**paths) in str(caught.value)


def test_a_nul_in_both_sets_is_refused():
    run = RunConfig(out="out", model="m/n", data="a\0b", val_data="a\0b")
    first, second = check_data(run)
    assert first.startswith("config.data: 'a\\x00b' contains a NUL")
    assert second.startswith("config.val_data: 'a\\x00b' contains a NUL")


def test_an_empty_list_is_refused():
    with pytest.raises(DataError, match="got an empty list, expected a folder"):
        open_source([])


def test_many_missing_elements_are_counted(tmp_path):
    run = RunConfig(out="out", model="m/n", data=[f"{tmp_path}/{k}/x" for k in range(9)])
    problems = check_data(run)
    assert len(problems) == 6
    assert problems[-1] == "config.data: and 4 more like these"


@pytest.mark.parametrize("data", ["builtin:digits", "{tmp}", "{tmp}/*", ["{tmp}"]])
def test_good_data_has_no_problems(tmp_path, data):
    (tmp_path / "a.png").touch()
    data = data.format(tmp=tmp_path) if isinstance(data, str) else [str(tmp_path)]
    assert check_data(RunConfig(out="out", model="m/n", data=data)) == []


@pytest.mark.parametrize(
    ("data", "val_data", "shared"),
    [
        ("all", "all/val", "all/val"),
        ("all/val", "all", "all/val"),
        (["more", "all"], "all/val/1.png", "all/val/1.png"),
        ("link", "all/val", "all/val"),
        ("all/train", "all/val", None),
        ("all/val", "all/valid", None),
        ("all", "builtin:digits", None),
    ],
)
def test_test_images_that_lie_among_those_of_training_are_refused(
    tmp_path, monkeypatch, data, val_data, shared
):
    monkeypatch.chdir(tmp_path)
    for name in ("all/train", "all/val", "all/valid", "more"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    (tmp_path / "link").symlink_to("all")
    problems = check_data(RunConfig(out="out", model="m/n", data=data, val_data=val_data))
    if shared is None:
        assert problems == []
    else:
        (problem,) = problems
        assert f"the images in '{tmp_path.resolve() / shared}' are in data too" in problem

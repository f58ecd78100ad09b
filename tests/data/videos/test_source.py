"""Frames of videos as images: by position, in any order, with and without the cache."""

import numpy as np
import pytest
from movies import flat_frames, number_of, turn, write_video

from lightly_core.data.check import data_problems
from lightly_core.data.sources import open_source
from lightly_core.data.videos import source as video_source
from lightly_core.errors import DataError
from lightly_core.testing import parametrize_checks, source_checks


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def opened(monkeypatch):
    """Return the list of videos that are opened to decode frames."""
    paths = []
    real = video_source.open_video

    def remember(path):
        paths.append(path)
        return real(path)

    monkeypatch.setattr(video_source, "open_video", remember)
    return paths


def names(source):
    return [source.name(index) for index in range(len(source))]


@pytest.mark.slow
@parametrize_checks(source_checks("video"))
def test_contract(check):
    check()


def test_files_folders_patterns_and_lists_name_videos(tmp_path):
    for name in ("a/1.mp4", "b/1.mp4", "b/2.mkv"):
        write_video(tmp_path / name, flat_frames(2))
    (tmp_path / "list.txt").write_text("a/1.mp4\nb\n")
    (tmp_path / "b/notes.md").write_text("no video")
    all_names = ["a/1.mp4/000000000", "b/1.mp4/000000000", "b/2.mkv/000000000"]
    for data, expected in (
        (f"video:{tmp_path}", all_names),
        (f"video:{tmp_path}/list.txt", all_names),
        (f"{tmp_path}/*/1.mp4", all_names[:2]),
        (f"{tmp_path}/b/2.mkv?fps=10", ["2.mkv/000000000", "2.mkv/000000100"]),
        ([f"video:{tmp_path}/a", f"video:{tmp_path}/b/2.mkv"], [all_names[0], all_names[2]]),
    ):
        assert data_problems(data) == []
        assert names(open_source(data)) == expected


@pytest.mark.parametrize("reordered", [False, True])
@pytest.mark.parametrize("cache_size", [0, 1])
def test_every_frame_is_found_in_any_order(tmp_path, reordered, cache_size):
    path = write_video(tmp_path / "clip.mp4", flat_frames(24), gop=7, reordered=reordered)
    source = open_source(f"{path}?every_n_frames=2&cache_size={cache_size}")
    assert len(source) == 12
    order = np.random.default_rng(0).permutation(12)
    assert [number_of(source.load(int(index))) for index in order] == [2 * i for i in order]


def test_frames_between_two_key_frames_are_decoded_once(tmp_path, opened):
    path = write_video(tmp_path / "clip.mp4", flat_frames(12), gop=4)
    source = open_source(f"{path}?every_n_frames=1")
    for index in np.random.default_rng(0).permutation(12):
        assert number_of(source.load(int(index))) == index
    assert len(opened) == 3
    assert number_of(open_source(f"{path}?every_n_frames=1").load(5)) == 5
    assert len(opened) == 3  # the cache outlives the source


def test_the_index_is_read_once_until_the_video_changes(tmp_path, monkeypatch):
    from lightly_core.data.videos import index

    path = write_video(tmp_path / "clip.mp4", flat_frames(12))
    scans = []
    real = index._scan
    monkeypatch.setattr(index, "_scan", lambda path: scans.append(path) or real(path))
    assert [len(open_source(f"{path}?every_n_frames=1")) for _ in range(2)] == [12, 12]
    assert len(scans) == 1
    write_video(path, flat_frames(5))
    assert len(open_source(f"{path}?every_n_frames=1")) == 5


def test_frames_are_turned_as_phones_say(tmp_path):
    turn(write_video(tmp_path / "clip.mp4", flat_frames(1)))
    image = open_source(f"{tmp_path}/clip.mp4?cache_size=0").load(0)
    assert np.asarray(image).shape == (48, 32, 3)


def test_folders_of_videos_are_classes(tmp_path):
    for name in ("cat/1.mp4", "dog/1.mp4", "dog/2.mp4"):
        write_video(tmp_path / name, flat_frames(2))
    labels = open_source(f"video:{tmp_path}?fps=10").labels()
    assert (labels.classes, labels.targets.tolist()) == (("cat", "dog"), [0, 0, 1, 1, 1, 1])
    source = open_source(f"video:{tmp_path}/dog")
    assert source.labels() is None  # the videos themselves are none
    assert "folders" in source.why_no_labels()


def test_videos_that_cannot_be_read_are_left_out(tmp_path, caplog):
    write_video(tmp_path / "good.mp4", flat_frames(2))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert names(open_source(f"video:{tmp_path}")) == ["good.mp4/000000000"]
    assert "1 of 2 videos cannot be read and are left out: 'bad.mp4'" in caplog.text
    with pytest.raises(DataError, match=r"none of 1 videos can be read.*bad\.mp4"):
        open_source(f"{tmp_path}/bad.mp4")


def test_a_folder_of_videos_only_names_both_ways(tmp_path):
    write_video(tmp_path / "clip.mp4", flat_frames(2))
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path))
    assert f"'video:{tmp_path}' opens its .mp4 files" in str(caught.value)
    assert "`lightly extract-frames`" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere.mp4", "'nowhere.mp4' does not exist"),
        ("video:nowhere", "'nowhere' does not exist"),
        ("video:https://host/clip.mp4", "read from this machine"),
        ("video:.?fps=1&every_n_frames=2", "give one of them"),
    ],
)
def test_wrong_texts_are_refused_before_a_video_is_read(text, message):
    assert message in " ".join(data_problems(text))

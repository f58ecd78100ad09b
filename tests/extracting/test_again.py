"""A second call: it continues, and never mixes frames of different settings."""

import os

import pytest

from lightly_core.errors import ConfigError
from lightly_core.extracting.manifest import FILE_NAME


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}


def test_a_killed_call_is_continued_and_leaves_no_half_video(tmp_path, video, extract, written):
    video("a.mp4")
    extract()
    before = stamps(tmp_path / "out/a.mp4")
    # What a process leaves that was killed while it wrote the second video and its line.
    half = tmp_path / "out/.b.mp4-xyz.writing"
    half.mkdir()
    (half / "000000000.jpg").write_bytes(b"half")
    with (tmp_path / "out" / FILE_NAME).open("a") as file:
        file.write('{"video": "b.mp4", "si')
    video("b.mp4")
    result = extract()
    assert not half.exists()
    assert stamps(tmp_path / "out/a.mp4") == before
    assert (result.num_videos, result.num_frames) == (2, 2)
    assert written("b.mp4") == {0: 0}
    assert extract().num_frames == 2  # both lines can be read


def test_a_video_that_has_changed_is_written_anew(video, extract, written):
    path = video()
    extract(every_n_frames=1)
    video(count=3)
    os.utime(path, ns=(1, 1))
    extract(every_n_frames=1)
    assert written() == {0: 0, 100: 1, 200: 2}


def test_other_settings_are_refused_or_replace_all_frames(tmp_path, video, extract, written):
    video()
    extract(every_n_frames=5)
    with pytest.raises(ConfigError, match=r"other settings \(every_n_frames=5\).*overwrite=true"):
        extract(every_n_frames=2)
    assert len(written()) == 2
    extract(every_n_frames=3, overwrite=True)
    assert written() == {0: 0, 300: 3, 600: 6, 900: 9}


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(tmp_path, video, extract):
    video()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="none of an earlier call"):
        extract(overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_list_that_names_a_place_outside_removes_nothing(tmp_path, video, extract):
    video()
    extract()
    outside = tmp_path / "precious"
    outside.mkdir()
    path = tmp_path / "out" / FILE_NAME
    path.write_text(path.read_text().replace("clip.mp4", "../precious"))
    extract(fps=2, overwrite=True)
    assert outside.is_dir()

"""Which frames are written, and how they look."""

import numpy as np
import pytest
from movies import turn, write_video
from PIL import Image

from lightly_core.errors import ConfigError, DataError


def test_frames_are_chosen_by_their_times_not_by_their_numbers(video, extract, written):
    times = [0, 100, 200, 1000, 1050, 3000]  # a variable rate, and a second without a frame
    video(count=6, times=times)
    result = extract(fps=1)
    assert written() == {0: 0, 1000: 3, 3000: 5}
    assert (result.num_frames, result.num_videos, result.problems) == (3, 1, {})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {0: 0, 1000: 10}),
        ({"fps": 5}, {time: time // 100 for time in range(0, 1200, 200)}),
        ({"every_n_frames": 5}, {0: 0, 500: 5, 1000: 10}),
        ({"key_frames": True}, {0: 0, 400: 4, 800: 8}),
        ({"key_frames": True, "every_n_frames": 2}, {0: 0, 800: 8}),
        ({"key_frames": True, "fps": 2}, {0: 0, 800: 8}),
        ({"every_n_frames": 1, "max_frames": 3}, {0: 0, 100: 1, 200: 2}),
    ],
    ids=str,
)
def test_each_rule_takes_its_frames(video, extract, written, settings, expected):
    video(count=12)
    extract(**settings)
    # A key frame at 400 ms is in the first half second, and not its first frame.
    assert written() == expected


def test_a_video_stored_in_another_order_gives_frames_in_the_order_of_time(video, extract, written):
    video(gop=8, reordered=True)
    extract(every_n_frames=1)
    assert written() == {100 * number: number for number in range(10)}


def test_a_video_of_a_phone_held_upright_is_turned(tmp_path, extract):
    frame = np.zeros((32, 48, 3), np.uint8)
    frame[:16, :24] = 255  # the upper left quarter
    turn(write_video(tmp_path / "videos/clip.mp4", [frame]))
    extract(format="png")
    image = np.asarray(Image.open(tmp_path / "out/clip.mp4/000000000.png")).mean(axis=2)
    assert image.shape == (48, 32)
    quarters = [[image[:24, :16].mean(), image[:24, 16:].mean()]]
    quarters += [[image[24:, :16].mean(), image[24:, 16:].mean()]]
    assert np.round(np.asarray(quarters) / 255).tolist() == [[0, 1], [0, 0]]


def test_equal_names_in_several_folders_stay_apart(tmp_path, video, extract):
    for name in ("a/clip.mp4", "b/clip.mp4", "b/clip.mov"):
        video(name)
    extract(fps=0.1)
    out = tmp_path / "out"
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
    frame = "000000000.jpg"
    assert files == [f"a/clip.mp4/{frame}", f"b/clip.mov/{frame}", f"b/clip.mp4/{frame}"]


def test_frames_are_shrunk_to_a_shorter_side_and_never_enlarged(tmp_path, video, extract):
    video()
    extract(size=16, max_frames=1)
    extract(size=100, max_frames=1, out=tmp_path / "large")
    name = "clip.mp4/000000000.jpg"
    sizes = [Image.open(tmp_path / out / name).size for out in ("out", "large")]
    assert sizes == [(24, 16), (48, 32)]


def test_broken_and_truncated_videos_are_listed_and_the_others_written(
    tmp_path, video, extract, written, capsys
):
    video()
    (tmp_path / "videos/broken.mp4").write_bytes(b"no video at all")
    whole = video("cut.mkv", count=20)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    result = extract(every_n_frames=1)
    assert len(written()) == 10
    assert 0 < len(written("cut.mkv")) < 20
    assert "broken.mp4" in result.problems
    assert not (tmp_path / "out/broken.mp4").exists()
    assert "broken.mp4" in (tmp_path / "out/skipped_videos.csv").read_text()
    assert (
        "1 of 3 videos could not be read, or not to their end: 'broken.mp4'"
        in capsys.readouterr().out
    )


def test_only_broken_videos_are_an_error(tmp_path, extract):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(DataError, match=r"none of 1 videos can be read.*broken\.mp4"):
        extract()


def test_frames_that_look_alike_are_written_once(tmp_path, extract, written):
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 255, (4, 6, 3)).astype(np.uint8) for _ in range(2)]
    first, second = (np.kron(scene, np.ones((8, 8, 1), np.uint8)) for scene in scenes)
    write_video(tmp_path / "videos/clip.mp4", [first, first, second, second, first], gop=1)
    result = extract(every_n_frames=1, min_difference=8)
    assert sorted(written()) == [0, 200]
    assert result.num_near_duplicates == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fps": 2, "every_n_frames": 3}, "give one of them"),
        ({"frame_filename_format": "%09d.jpg"}, "named by their time"),
        ({"videos": "nowhere"}, "'nowhere' does not exist"),
        ({"videos": "https://host/clip.mp4"}, "read from this machine"),
        ({"format": "png", "quality": 50}, "it is for JPEGs"),
        ({"fps": 0}, "fps"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_before_anything_is_written(
    tmp_path, video, extract, settings, message
):
    video()
    with pytest.raises(ConfigError, match=message):
        extract(**settings)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_videos_is_named(tmp_path, extract):
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError, match="no videos in"):
        extract()

import pytest
from movies import flat_frames, write_video


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "a=1/clip.mp4", flat_frames(3))


def test_videos_are_words_or_a_setting(run, clip, tmp_path):
    code, _, error = run("extract-frames", str(clip), f"out={tmp_path / 'one'}", "fps=5")
    assert code == 0, error
    assert len(list((tmp_path / "one/clip.mp4").iterdir())) == 2
    words = ("extract_video_frames", f"data={clip.parent}", f"out={tmp_path / 'two'}")
    code, _, error = run(*words)
    assert code == 0, error
    assert len(list((tmp_path / "two/clip.mp4").iterdir())) == 1


def test_words_that_are_no_settings_are_named(run, clip):
    code, _, error = run("extract-frames", str(clip), "outt=x")
    assert code == 2
    assert "did you mean 'out'" in error

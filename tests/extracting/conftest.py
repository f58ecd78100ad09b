"""A way to call `lightly_core.extract_frames` and to see what it wrote."""

import pytest
from movies import flat_frames, number_of, write_video
from PIL import Image

import lightly_core


@pytest.fixture
def video(tmp_path):
    """Write a video of ten frames, ten for each second, below `videos`."""

    def write(name="clip.mp4", count=10, **options):
        return write_video(tmp_path / "videos" / name, flat_frames(count), **options)

    return write


@pytest.fixture
def extract(tmp_path):
    """Write frames of all videos below `videos` to `out`."""

    def call(**settings):
        given = {"videos": tmp_path / "videos", "out": tmp_path / "out", "num_workers": 1}
        return lightly_core.extract_frames(**{**given, **settings})

    return call


@pytest.fixture
def written(tmp_path):
    """Return the times in milliseconds and the numbers of the frames that were written."""

    def read(name="clip.mp4"):
        files = sorted((tmp_path / "out" / name).iterdir())
        return {int(file.stem): number_of(Image.open(file)) for file in files}

    return read

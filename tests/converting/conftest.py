"""Small networks, and a way to call `lightly_core.export`."""

import pytest

import lightly_core


@pytest.fixture
def export(tmp_path, tiny):
    """Call `lightly_core.export`, with the settings that a test is not about."""

    def call(out="model.pt", **changes):
        settings = {"out": tmp_path / out, "model": tiny, "image_size": 32, **changes}
        return lightly_core.export(**settings)

    return call

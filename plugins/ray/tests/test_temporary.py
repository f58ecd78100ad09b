"""Ray's folder for temporary files."""

import tempfile

import pytest

from lightly_core.errors import RunError
from lightly_ray.temporary import refuse_folder_in_environment


@pytest.mark.parametrize("by_name", [True, False])
def test_a_temporary_folder_inside_of_the_environment_is_refused(monkeypatch, tmp_path, by_name):
    environment, inside = tmp_path / "venv", tmp_path / "venv/tmp"
    inside.mkdir(parents=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(environment))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path if by_name else inside))
    monkeypatch.setenv("RAY_TMPDIR", str(inside) if by_name else "")
    with pytest.raises(RunError, match="RAY_TMPDIR") as caught:
        refuse_folder_in_environment()
    assert f"'{inside}'" in str(caught.value)

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    refuse_folder_in_environment()
    monkeypatch.setenv("RAY_TMPDIR", str(inside))
    monkeypatch.delenv("VIRTUAL_ENV")
    refuse_folder_in_environment()

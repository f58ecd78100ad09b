"""The folder of Ray's own files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lightly_core.errors import RunError


def refuse_folder_in_environment() -> None:
    """Refuse a temporary folder inside of the active virtual environment.

    Ray's workers end at once there, and `ray.init` waits for them for ever.

    Raises:
        RunError: The folder for temporary files is inside of the environment.
    """
    environment = os.environ.get("VIRTUAL_ENV")
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if environment and Path(folder).resolve().is_relative_to(Path(environment).resolve()):
        raise RunError(
            f"Ray cannot keep its files in '{folder}', since that is inside of the virtual "
            f"environment '{environment}': its workers would end at once"
            "\n  set the environment variable RAY_TMPDIR to another folder"
        )

"""What holds for all tests, those of the plugins too."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def settings_folder_of_ultralytics(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let ultralytics, which writes its settings wherever it is imported, do so for the tests.

    This holds for every test, for processes that tests start, and where the user has set a folder.
    """
    # Not put back: what runs when the process ends may write settings too.
    os.environ["YOLO_CONFIG_DIR"] = str(tmp_path_factory.mktemp("ultralytics"))

import stat

import pytest

from lightly_core.atomic import atomic_path
from lightly_core.engine.folder import RUN_FILES, RunFolder, write_json
from lightly_core.errors import ConfigError


def test_promise_07_an_existing_folder_is_refused_even_when_empty(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match=r"exists already.*overwrite=true"):
        RunFolder(tmp_path / "out").prepare(overwrite=False, resume=False)


def test_promise_08_overwrite_clears_what_a_run_wrote_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    own = [pattern.replace("*", "1") for pattern in RUN_FILES]
    foreign = ["notes.txt", "checkpoints/mine.ckpt", "exported_models/mine.pt", "sub/config.json"]
    for name in own + foreign:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("x")
    RunFolder(out).prepare(overwrite=True, resume=False)
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert left == sorted(foreign)


def test_overwrite_removes_folders_that_it_emptied(tmp_path):
    (tmp_path / "out/checkpoints").mkdir(parents=True)
    (tmp_path / "out/checkpoints/last.ckpt").write_text("x")
    folder = RunFolder(tmp_path / "out")
    folder._clear()
    assert not folder.checkpoints.exists()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("x")
    assert "is a file" in RunFolder(tmp_path / "out").problems(overwrite=True, resume=False)[0]


def test_resume_without_last_checkpoint_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    problems = RunFolder(tmp_path / "out").problems(overwrite=False, resume=True)
    assert "nothing to resume" in problems[0]


def test_resume_and_overwrite_contradict_each_other(tmp_path):
    assert "only one" in RunFolder(tmp_path / "out").problems(overwrite=True, resume=True)[0]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "last.ckpt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_written_files_are_readable_like_any_other(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    (tmp_path / "plain").write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.json", "plain")]
    assert modes[0] == modes[1]

import stat

import pytest

from lightly_core.atomic import atomic_path
from lightly_core.engine.folder import RUN_FILES, RunFolder, write_json
from lightly_core.engine.start import removed_if_untrained
from lightly_core.errors import ConfigError


def test_promise_07_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    opened = RunFolder(tmp_path / "out").opened(overwrite=False, resume=False)
    with pytest.raises(ConfigError, match=r"is not empty.*overwrite=true"), opened:
        pass


def test_an_empty_folder_is_used_and_emptied_after_a_failed_start(tmp_path):
    (tmp_path / "out").mkdir()
    folder = RunFolder(tmp_path / "out")

    def fail():
        with removed_if_untrained(folder), folder.opened(overwrite=False, resume=False):
            folder.config.write_text("{}")
            raise ConfigError("wrong")

    with pytest.raises(ConfigError, match="wrong"):
        fail()
    assert list((tmp_path / "out").iterdir()) == []


def test_promise_08_overwrite_clears_what_a_run_wrote_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    own = [pattern.replace("*", "1") for pattern in RUN_FILES]
    foreign = ["notes.txt", "checkpoints/mine.ckpt", "exported_models/mine.pt", "sub/config.json"]
    for name in own + foreign:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("x")
    with RunFolder(out).opened(overwrite=True, resume=False):
        pass
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


@pytest.mark.slow
def test_a_linked_folder_stays_one_when_it_is_cleared(pretrain, short_run, tmp_path):
    disk = tmp_path / "other disk"
    disk.mkdir()
    (disk / "last.ckpt").write_text("of an earlier run")
    (disk / "mine.txt").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    (out / "checkpoints").symlink_to(disk)
    (tmp_path / "aside.jsonl").write_text("x")
    (out / "metrics.jsonl").symlink_to(tmp_path / "aside.jsonl")
    pretrain(**short_run(overwrite=True, epochs=1))
    assert (out / "checkpoints").is_symlink()
    names = sorted(path.name for path in disk.iterdir())
    assert names == ["epoch=0-step=3.ckpt", "last.ckpt", "mine.txt"]
    assert (tmp_path / "aside.jsonl").read_text() == "x"
    assert not (out / "metrics.jsonl").is_symlink()


@pytest.mark.slow
def test_the_run_folder_may_be_a_link(pretrain, short_run, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    pretrain(**short_run(overwrite=True, epochs=1))
    assert (tmp_path / "disk/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize("name", ["", "checkpoints", "exported_models"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_links_to_nowhere_are_named_before_anything_is_removed(name, overwrite, tmp_path):
    out = tmp_path / "out"
    if name:
        out.mkdir()
    (out / name).symlink_to(tmp_path / "nowhere")
    folder = RunFolder(out)
    (problem,) = folder.problems(overwrite=overwrite, resume=False)
    assert str(tmp_path / "nowhere") in problem


def test_exported_files_are_readable_like_any_other(finished, tmp_path):
    (tmp_path / "plain").write_text("")
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    files = [path for path in finished.result.folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {expected}


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", [".lock", *RUN_FILES])
def test_what_is_no_file_in_the_place_of_one_is_refused_before_anything_is_cleared(
    tmp_path, name, resume
):
    kept = tmp_path / "out/checkpoints/last.ckpt"
    wrong = tmp_path / "out" / name.replace("*", "1")
    kept.parent.mkdir(parents=True)
    wrong.mkdir(parents=True)
    if wrong != kept:
        kept.write_text("x")
    opened = RunFolder(tmp_path / "out").opened(overwrite=not resume, resume=resume)
    with pytest.raises(ConfigError, match="is a folder or a device"), opened:
        pass
    assert wrong.is_dir()
    assert kept.exists()


def test_a_link_in_the_place_of_a_file_is_replaced_wherever_it_leads(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train.log").symlink_to(tmp_path / "elsewhere")
    folder = RunFolder(tmp_path / "out")
    assert folder.problems(overwrite=True, resume=False) == []
    with folder.opened(overwrite=True, resume=False):
        assert not folder.log.is_symlink()
    assert (tmp_path / "elsewhere").is_dir()


def test_a_file_in_place_of_a_folder_of_the_run_is_named(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/non_finite").write_text("x")
    problems = RunFolder(tmp_path / "out").problems(overwrite=True, resume=False)
    assert "non_finite' is a file" in problems[0]

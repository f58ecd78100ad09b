"""What a run prints, and what it writes to its log only."""

import logging
import os
import sys
import warnings

import pytest

from lightly_core.engine.logs import RunLogs


def say(name, level):
    logging.getLogger(name).log(level, "%s says %s", name, logging.getLevelName(level).lower())


@pytest.fixture
def heard(tmp_path, capsys):
    """Log as a run, and return what was printed and what is in the file."""

    def heard(*records, first_process=True, plugins=("acme",)):
        path = tmp_path / "train.log"
        with RunLogs(first_process, plugins) as logs:
            logs.open_file(path)
            for name, level in records:
                say(name, level)
            warnings.warn("a library warns", UserWarning, stacklevel=2)
        return capsys.readouterr().out, path.read_text() if path.exists() else ""

    return heard


@pytest.mark.parametrize("name", ["lightly_core.engine", "lightly_core", "acme.method"])
def test_notes_of_the_core_and_of_plugins_are_printed(heard, name):
    printed, written = heard((name, logging.INFO), (name, logging.DEBUG))
    assert printed == f"{name} says info\n"
    assert f"{name} says debug" in written


def test_notes_of_libraries_are_for_the_file_and_their_warnings_for_both(heard):
    name = "lightning.pytorch"
    printed, written = heard((name, logging.INFO), (name, logging.WARNING))
    assert printed == f"warning: {name} says warning\n"
    assert f"{name} says info" in written
    assert "a library warns" in written


def test_other_processes_print_errors_only_and_write_no_file(heard):
    name = "lightly_core.engine"
    printed, written = heard((name, logging.WARNING), (name, logging.ERROR), first_process=False)
    assert printed == f"error: {name} says error\n"
    assert written == ""


def test_a_run_goes_on_where_nobody_reads_what_it_prints(tmp_path, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w", buffering=1))
    with RunLogs(True) as logs:
        logs.open_file(tmp_path / "train.log")
        say("lightly_core", logging.INFO)
        say("lightly_core", logging.WARNING)
    assert "says warning" in (tmp_path / "train.log").read_text()
    assert "Logging error" not in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_log_that_cannot_be_written_is_reported_once(tmp_path, capsys):
    with RunLogs(True) as logs:
        (tmp_path / "train.log").symlink_to("/dev/full")
        logs.open_file(tmp_path / "train.log")
        say("lightly_core", logging.INFO)
        say("lightly_core", logging.INFO)
    out, err = capsys.readouterr()
    assert out.count("says info") == 2
    assert err.count("train.log' cannot be written: ") == 1
    assert "No space left" in err
    assert "Traceback" not in err


def test_loggers_are_left_as_they_were():
    names = ("lightly_core", "acme", "lightning.pytorch", "py.warnings")
    loggers = [logging.getLogger(name) for name in names]
    before = [(log.level, log.propagate, log.handlers[:]) for log in loggers]
    with pytest.raises(KeyError), RunLogs(True, ("acme",)):
        raise KeyError
    assert [(log.level, log.propagate, log.handlers[:]) for log in loggers] == before


def test_tips_of_lightning_about_its_products_are_not_in_the_file(tmp_path, capsys):
    with RunLogs(True) as logs:
        logging.getLogger("lightning.pytorch").info("💡 Tip: upload it, it is seamless")
        logs.open_file(tmp_path / "train.log")
        logging.getLogger("lightning.pytorch").info("💡 Tip: upload it again")
        logging.getLogger("lightning.pytorch").info("GPU available: False")
    written = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "upload" not in written + capsys.readouterr().out
    assert "GPU available" in written

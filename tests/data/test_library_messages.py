import logging
import os
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, features

from lightly_core.data import library_messages
from lightly_core.data.dataset import TrainingDataset, collate
from lightly_core.data.library_messages import NoteLog, captured_messages
from lightly_core.data.loading import load_or_reason
from lightly_core.data.sources import open_source


def odd_tiff(path):
    """A compressed TIFF that counts its planes twice, of which libtiff complains."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    entry = content.index((284).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    content[entry + 4] = 2
    path.write_bytes(bytes(content))


@pytest.mark.skipif(not features.check("libtiff"), reason="this Pillow has no libtiff")
def test_what_libtiff_says_is_kept_with_the_file_and_off_the_terminal(tmp_path, capfd):
    odd_tiff(tmp_path / "odd.tif")
    notes = []
    reason = load_or_reason(open_source(str(tmp_path)), 0, notes)
    assert reason in ("OSError: decoder error -2", "OSError: -2")  # the second before Pillow 11.2
    assert [name for name, _ in notes] == ["odd.tif"] * len(notes)
    (message,) = [text for _, text in notes if text.startswith("libtiff: ")]
    assert "PlanarConfiguration" in message
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not features.check("libtiff"), reason="this Pillow has no libtiff")
def test_outside_libtiff_speaks_as_before(tmp_path, capfd):
    odd_tiff(tmp_path / "odd.tif")
    with captured_messages():
        pass
    with pytest.raises(OSError, match=r"-2$"), pytest.warns(UserWarning, match="284"):
        Image.open(tmp_path / "odd.tif").load()
    assert "PlanarConfiguration" in capfd.readouterr().err


def test_warnings_and_records_of_this_thread_are_kept(caplog):
    show = warnings.showwarning
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with captured_messages() as notes:
        warnings.warn("one\nline", UserWarning, stacklevel=1)
        logger.error("two %d", 2)
        logger.debug("nothing")
        other = threading.Thread(target=logger.error, args=("of another thread",))
        other.start()
        other.join()
    assert notes == ["UserWarning: one line", "PIL: two 2"]
    assert [record.getMessage() for record in caplog.records] == ["of another thread"]
    assert warnings.showwarning is show
    assert (logger.parent.propagate, logger.parent.handlers) == (True, [])


def test_an_inner_ear_takes_nothing_from_the_outer_one():
    with captured_messages() as outer:
        with captured_messages() as inner:
            warnings.warn("first", UserWarning, stacklevel=1)
        warnings.warn("second", UserWarning, stacklevel=1)
    assert (inner, outer) == (["UserWarning: first"], ["UserWarning: second"])


def test_the_log_has_each_kind_once_for_the_file_only(caplog):
    log = NoteLog()
    with caplog.at_level("DEBUG"):
        log.add([("a\x1b.tif", "tag 1"), ("b.tif", "tag 22"), ("b.tif", "other")])
        log.add([("c.tif", "tag 3")])
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert "'a\\x1b.tif' was read: tag 1 " in caplog.records[0].getMessage()


def test_notes_travel_with_the_samples(tmp_path, transform, write_images, monkeypatch):
    write_images(tmp_path, ["a.png", "b.png"])
    source = open_source(str(tmp_path))
    load = source.load

    def load_and_warn(index):
        warnings.warn(f"odd {index}", UserWarning, stacklevel=1)
        return load(index)

    monkeypatch.setattr(source, "load", load_and_warn)
    dataset = TrainingDataset(source, transform, seed=0)
    batch = collate([dataset[0, 0], dataset[0, 1]])
    assert batch.notes == [("a.png", "UserWarning: odd 0"), ("b.png", "UserWarning: odd 1")]
    assert batch.to("cpu").notes == batch.notes


def test_where_libtiff_cannot_be_found_nothing_breaks(monkeypatch):
    monkeypatch.setattr(library_messages, "_libtiff", lambda: None)
    library_messages._silence_libtiff.__wrapped__()
    assert os.path.exists(os.devnull)

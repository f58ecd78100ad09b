import multiprocessing

import pytest

from lightly_core.data.skipped import SkipLog
from lightly_core.errors import DataError

HEADER = "index,name,reason"


def lines(folder):
    return (folder / "skipped_images.csv").read_text(encoding="utf-8").splitlines()


def test_nothing_skipped_writes_nothing(tmp_path):
    log = SkipLog(tmp_path, 10, 0.1)
    log.add([])
    assert log.finish() == 0
    assert list(tmp_path.iterdir()) == []


def test_each_image_is_listed_once(tmp_path):
    log = SkipLog(tmp_path, 100, 0.1)
    log.add([(7, "b/ü,1.png", "truncated"), (2, "a.png", "empty file")])
    log.add([(7, "b/ü,1.png", "truncated"), (9, "c.png", "not an image")])
    assert lines(tmp_path) == [
        HEADER,
        '7,"b/ü,1.png",truncated',
        "2,a.png,empty file",
        "9,c.png,not an image",
    ]
    assert log.finish() == 3
    assert [line[:2] for line in lines(tmp_path)[1:]] == ["2,", "7,", "9,"]


@pytest.mark.parametrize(
    ("max_fraction", "size", "allowed"), [(0.1, 100, 10), (0.1, 8, 0), (0.0, 5, 0), (0.5, 7, 3)]
)
def test_the_run_stops_above_the_share(tmp_path, max_fraction, size, allowed):
    log = SkipLog(tmp_path, size, max_fraction)
    log.add([(index, f"{index}.png", "truncated") for index in range(allowed)])
    with pytest.raises(
        DataError, match=f"{allowed + 1} of {size} images .* max_skipped={max_fraction}"
    ):
        log.add([(99, "99.png", "empty file")])
    assert len(lines(tmp_path)) == 1 + allowed + 1  # the last one is listed before it stops


def test_all_may_be_allowed(tmp_path):
    log = SkipLog(tmp_path, 3, 1.0)
    log.add([(index, f"{index}.png", "truncated") for index in range(3)])
    assert log.finish() == 3


def test_the_message_names_three_images_and_the_remedy(tmp_path):
    with pytest.raises(DataError) as caught:
        SkipLog(tmp_path, 5, 0.2).add([(k, f"{k}.png", "empty file") for k in range(4)])
    assert str(caught.value) == (
        "4 of 5 images (80 %) cannot be read, more than max_skipped=0.2 allows, for example "
        "'0.png' (empty file), '1.png' (empty file), '2.png' (empty file). "
        f"All are listed in {tmp_path / 'skipped_images.csv'}. "
        "Remove or repair them, or raise max_skipped"
    )


def test_a_resumed_run_goes_on_counting(tmp_path):
    SkipLog(tmp_path, 10, 0.2).add([(1, "1.png", "truncated"), (2, 'two\n"2".png', "empty file")])
    resumed = SkipLog(tmp_path, 10, 0.2)
    resumed.add([(1, "1.png", "truncated")])
    assert len(resumed) == 2
    with pytest.raises(DataError, match="3 of 10"):
        resumed.add([(3, "3.png", "truncated")])


def test_works_without_a_folder():
    log = SkipLog(None, 10, 0.1)
    log.add([(1, "1.png", "truncated")])
    assert log.finish() == 1
    with pytest.raises(DataError, match="2 of 10"):
        log.add([(2, "2.png", "truncated")])


def test_names_that_are_no_valid_text_are_listed(tmp_path, caplog):
    log = SkipLog(tmp_path, 10, 0.5)
    with caplog.at_level("WARNING"):
        log.add([(1, "caf\udce9.png", "truncated")])
    assert "caf\\udce9.png" in caplog.text
    assert SkipLog(tmp_path, 10, 0.5).finish() == log.finish() == 1


def _write(folder, start):
    log = SkipLog(folder, 10_000, 1.0)
    for index in range(start, start + 100):
        log.add([(index, f"{index}.png", "truncated")])


def test_processes_share_a_file(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(tmp_path, start)) for start in (0, 50)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert SkipLog(tmp_path, 10_000, 1.0).finish() == 150
    assert lines(tmp_path) == [HEADER, *(f"{index},{index}.png,truncated" for index in range(150))]

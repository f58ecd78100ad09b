"""Runs are found and described by their files alone, whatever is in them."""

import json
import math
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from attrs import asdict
from short_run import TinyWrapper, run_settings, write_images

import lightly_core
from lightly_core.engine import lock
from lightly_core.engine.status import STATUS_FILE, Status
from lightly_core.errors import ConfigError, RunInterrupted
from lightly_core.registry.entry import data_text
from lightly_core.registry.listing import sorted_runs
from lightly_core.registry.metrics import read_metrics
from lightly_core.registry.table import shortened, table_lines, text_width

START = "2026-03-01T12:00:00+01:00"
DERIVED = {"dataset_size": 100, "steps_per_epoch": 10, "total_steps": 50}
CONFIG = {"method": "simclr", "model": "timm/vit", "data": "images", "epochs": 5}


def write(folder, *, status=None, metrics=(), config=CONFIG):
    """Write a run folder; `status` may be a text, or the attributes of a status."""
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps({**config, "derived": DERIVED}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    if isinstance(status, dict):
        status = json.dumps(asdict(Status(**{"state": "finished", "started": START, **status})))
    if status is not None:
        (folder / STATUS_FILE).write_text(status)
    return folder


def only(folder, **settings):
    (run,) = lightly_core.list_runs(folder, **settings)
    return run


def write_lock(folder, **changes):
    owner = {**asdict(lock.Owner.this_process()), **changes}
    (folder / lock.LOCK_FILE).write_text(json.dumps(owner))


class Looking(TinyWrapper):
    """Lists the runs while it is trained, and raises `error` then."""

    def __init__(self, folder, error=None):
        super().__init__()
        self.folder, self.error, self.seen = folder, error, []

    def forward_features(self, x):
        if self.training and (self.folder / "out/.lock").exists():
            self.seen += lightly_core.list_runs(self.folder)
            if self.error is not None and (self.folder / "out/exported_models").exists():
                raise self.error
        return super().forward_features(x)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, and what was listed while it ran."""
    root = tmp_path_factory.mktemp("trained")
    wrapper = Looking(root)
    lightly_core.pretrain(
        **run_settings(
            out=root / "out",
            data=write_images(root / "images"),
            model=wrapper,
            callbacks={"model_export": {"min_seconds_between": 0}},
        )
    )
    return SimpleNamespace(root=root, seen=wrapper.seen)


@pytest.mark.slow
def test_a_run_is_running_and_then_finished(trained):
    during, after = trained.seen[-1], only(trained.root)
    assert (during.state, during.step, during.ended) == ("running", 5, None)
    assert (after.state, after.step, after.epochs_done, after.epochs) == ("finished", 6, 2.0, 2)
    assert during.started == after.started <= after.ended
    files = [path for path in (trained.root / "out").rglob("*") if path.is_file()]
    assert after.size == sum(path.stat().st_size for path in files)


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ValueError("bad https://me:secret@host/x?key=1"), "failed", "bad https://host/x?..."),
        (RunInterrupted("stopped by SIGTERM"), "interrupted", "stopped by SIGTERM"),
    ],
)
def test_how_a_run_ended_is_kept(tmp_path, error, state, reason):
    data = write_images(tmp_path / "images")
    settings = run_settings(out=tmp_path / "out", data=data, model=Looking(tmp_path, error))
    (tmp_path / "out").mkdir()  # so that it is not removed as that of a failed start
    with pytest.raises(type(error)):
        lightly_core.pretrain(**settings, overwrite=True)
    run = only(tmp_path)
    assert run.state == state
    assert reason in run.reason
    assert "secret" not in (tmp_path / "out" / STATUS_FILE).read_text()


def test_accuracies_have_their_standard_error(tmp_path):
    write(tmp_path / "a", status={"knn_before": 0.0, "knn_after": 0.5, "knn_images": 98, "step": 5})
    run = only(tmp_path)
    # With one correct and one wrong answer added: 1 of 100 and 50 of 100.
    errors = (pytest.approx(math.sqrt(0.01 * 0.99 / 100)), pytest.approx(0.05))
    assert (run.knn_before_error, run.knn_after_error) == errors
    assert run.gain == 0.5


def test_an_accuracy_before_training_is_not_one_after(tmp_path):
    metrics = [{"step": 0, "knn/top1": 0.2}, {"step": 7, "train_loss": 1.0}]
    status = {"state": "interrupted", "knn_before": 0.2, "knn_after": 0.2, "step": 7}
    write(tmp_path / "a", status=status, metrics=metrics)
    assert (only(tmp_path).knn_before, only(tmp_path).knn_after) == (0.2, None)


def test_a_killed_run_is_not_known_to_have_ended(tmp_path):
    folder = write(tmp_path / "a", status={"state": "running"})
    write_lock(folder, started="1")  # the number of the process belongs to another one by now
    run = only(tmp_path)
    assert (run.state, "it saved no checkpoint" in run.reason) == ("unknown", True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/last.ckpt").write_text("x")
    assert "resume_interrupted=true" in only(tmp_path).reason


def test_a_run_of_another_machine_is_judged_by_its_lock_alone(tmp_path):
    folder = write(tmp_path / "a", status={"state": "running"})
    write_lock(folder, boot="other", host="other")
    assert only(tmp_path).state == "running"
    old = lock.STALE_SECONDS + 60
    os.utime(folder / lock.LOCK_FILE, (lock.time.time() - old,) * 2)
    assert only(tmp_path).state == "unknown"


def test_no_lock_is_taken(trained, monkeypatch):
    def refuse(*_):
        raise AssertionError("the lock was taken")

    write_lock(trained.root / "out")
    monkeypatch.setattr(lock, "_flock", refuse)
    try:
        assert only(trained.root).state == "running"
    finally:
        (trained.root / "out" / lock.LOCK_FILE).unlink()


ENDED = "2026-01-01 DEBUG x: The run ended with an error.\nTraceback ...\n"


@pytest.mark.parametrize(
    ("log", "step", "state"),
    [
        ("", 50, "finished"),
        ("", 49, "unknown"),
        (ENDED + "lightly_core.errors.RunInterrupted: stopped by Ctrl-C\n", 20, "interrupted"),
        (ENDED + "ValueError: shapes\n", 20, "failed"),
    ],
)
def test_folders_of_older_versions_tell_what_they_can(tmp_path, log, step, state):
    folder = write(tmp_path / "a", metrics=[{"step": step}])
    (folder / "train.log").write_text(log)
    (folder / "exported_models").mkdir()
    (folder / "exported_models/exported_last.pt").write_text("x")
    run = only(tmp_path)
    assert (run.state, run.epochs_done) == (state, step / 10)
    assert run.reason or state == "finished"


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", "{", "config.json cannot be read: it is damaged"),
        ("config.json", "[1]", "expected an object"),
        ("config.json", "[" * 100_000, "it is damaged"),
        ("config.json", '{"architectures": []}', "was not written by a run"),
        (STATUS_FILE, "", "status.json cannot be read"),
        (STATUS_FILE, '{"state": "asleep", "started": ""}', "unknown state 'asleep'"),
        (STATUS_FILE, '{"state": "failed", "started": 3}', "other values"),
        ("metrics.jsonl", '{"step": 1}\n{"step": 2, "tra', "damaged at its end"),
        ("metrics.jsonl", "\x00\x01", "damaged at its end"),
        (lock.LOCK_FILE, '{"pid": "x"}', "process ended without a record"),
    ],
)
def test_damaged_files_are_named(tmp_path, file, content, reason):
    (write(tmp_path / "a") / file).write_text(content)
    run = only(tmp_path)
    assert run.state == "unknown"
    assert reason in run.reason


def test_a_folder_without_rights_is_a_row(tmp_path, monkeypatch):
    write(tmp_path / "a", status={})
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    rows = {run.name: run.reason for run in lightly_core.list_runs(tmp_path)}
    assert rows == {"a": None, "closed": "the folder cannot be read: Permission denied"}


def test_folders_of_other_tools_are_no_runs(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"architectures": ["ViT"]}')
    (tmp_path / "images/checkpoints").mkdir(parents=True)
    assert lightly_core.list_runs(tmp_path) == []


def test_runs_are_found_at_any_depth_and_once(tmp_path):
    for name in ("a", "b/c/d/e", "b/c/d/e/inner", ".hidden/f"):
        write(tmp_path / name, status={})
    (tmp_path / "b/loop").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    names = [run.name for run in lightly_core.list_runs(tmp_path, sort="name")]
    assert names == ["a", "b/c/d/e", "b/c/d/e/inner"]
    assert only(tmp_path / "a").name == "a"


def test_the_ends_of_long_metrics_are_enough(tmp_path):
    rng = random.Random(0)
    for number in range(40):
        steps = range(rng.choice([0, 1, 40, 3_000]))
        lines = [{"step": step, "train_loss": rng.random(), "x" * 60: 0} for step in steps]
        for line in lines:
            if rng.random() < rng.choice([0, 0.001, 0.1]) or line["step"] == 0:
                line["knn/top1"] = rng.choice([rng.random(), None])
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        known = [line for line in lines if line.get("knn/top1") is not None]
        found = read_metrics(path)
        assert found.step == (lines[-1]["step"] if lines else None)
        assert found.knn_before == next((x["knn/top1"] for x in known if x["step"] == 0), None)
        later = [line["knn/top1"] for line in known if line["step"] > 0]
        # Without one at the start it is not searched for in the middle.
        searched = found.knn_before is not None or found.knn_after is not None
        assert found.knn_after == (later[-1] if later and searched else None)
        assert not found.damaged


def test_runs_are_sorted_and_chosen(tmp_path):
    for number, (name, knn) in enumerate({"a": 0.4, "b": None, "c": 0.9, "d": 0.4}.items()):
        started = f"2026-03-0{number + 1}T12:00:00+0{number}:00"
        write(
            tmp_path / name,
            status={"knn_after": knn, "step": 5, "started": started},
            config={**CONFIG, "method": "dino" if name == "c" else "simclr"},
        )

    def names(**settings):
        return "".join(run.name for run in lightly_core.list_runs(tmp_path, **settings))

    assert (names(), names(reverse=True)) == ("dcba", "abcd")
    assert (names(sort="knn"), names(sort="knn", reverse=True)) == ("cadb", "adcb")
    assert (names(method="dino"), names(state="failed")) == ("c", "")
    with pytest.raises(ConfigError, match=r"config\.sort.*did you mean 'knn'"):
        names(sort="kn")


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({}, "interrupted"),
        ({"result.json": {}}, "finished"),
        ({"failure.json": {"error": "no memory"}}, "failed"),
    ],
)
def test_rows_of_a_suite_are_one_entry_each(tmp_path, files, state):
    row = tmp_path / "suite/simclr-e5"
    write(row / "run", status={"step": 50})
    (row / "row.json").write_text(json.dumps({"name": "x", "settings": {"run": CONFIG}}))
    for name, content in files.items():
        (row / name).write_text(json.dumps(content))
    run = only(tmp_path)
    assert (run.name, run.kind, run.state, run.path) == ("suite/simclr-e5", "row", state, row)
    write_lock(row)
    assert only(tmp_path).state == "running"


def test_a_row_that_has_not_started_waits(tmp_path):
    (tmp_path / "row").mkdir()
    (tmp_path / "row/row.json").write_text(json.dumps({"settings": {"run": CONFIG}}))
    run = only(tmp_path)
    assert (run.state, run.method, run.data) == ("waiting", "simclr", "images")


# --------------------------------------------------------------------------- the table


@pytest.fixture
def some_runs(tmp_path):
    write(tmp_path / "short", status={"knn_before": 0.1, "knn_after": 0.5, "knn_images": 99})
    write(tmp_path / f"{'long/' * 12}name", status={"state": "failed", "error": "no " * 60})
    write(tmp_path / "图片" / ("文" * 30), status="{")
    return lightly_core.list_runs(tmp_path)


@pytest.mark.parametrize("width", [20, 40, 57, 80, 120, 250])
def test_the_table_fits_the_terminal(some_runs, width):
    lines = table_lines(some_runs, datetime.now(timezone.utc), width)
    assert max(map(text_width, lines)) <= width
    assert lines[0].startswith("NAME")
    assert ("SIZE" in lines[0]) == (width >= 250)
    assert "KNN" in lines[0] or width < 40


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "ab…ef"),
        ("abcdef", 4, "a…ef"),
        ("abcdef", 1, "…"),
        ("文文文文", 8, "文文文文"),
        ("文文文文", 7, "文…文"),  # two columns each: another one would be the eighth
        ("文a文文文", 8, "文a…文文"),
    ],
)
def test_a_name_is_cut_in_the_middle(text, width, expected):
    assert shortened(text, width) == expected


def test_in_a_pipe_each_run_is_one_line(some_runs):
    now = datetime.fromisoformat(START) + timedelta(hours=3)
    lines = table_lines(some_runs, now, None)
    assert len(lines) == 1 + len(some_runs)
    (short,) = (line for line in lines if line.startswith("short"))
    assert short.split()[:2] == ["short", "finished"]
    assert "50.0 ± 5.0 %" in short
    assert "3 h" in short


@pytest.mark.parametrize(
    ("data", "text"),
    [("a", "a"), (["a"], "a"), (["a", "b", "c"], "a and 2 more"), ([], None), (None, None)],
)
def test_data_is_one_text(data, text):
    assert data_text(data) == text


def test_times_in_several_zones_are_compared_as_times(some_runs):
    from attrs import evolve

    first = evolve(some_runs[0], name="first", started="2026-03-01T12:00:00+02:00")
    second = evolve(some_runs[0], name="second", started="2026-03-01T11:00:00+00:00")
    assert [run.name for run in sorted_runs([first, second], "started")] == ["second", "first"]


# --------------------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_lists_without_torch_and_ends_quietly_with_its_reader(tmp_path):
    for number in range(30):
        write(tmp_path / str(number), status={})
    command = (
        "import sys; from lightly_core.cli.main import main; "
        f"code = main(['runs', {str(tmp_path)!r}, 'sort=name']); "
        "heavy = {'torch', 'numpy', 'rich', 'lightning'} & set(sys.modules); "
        "print(heavy, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "set()\n", 31)
    pipe = subprocess.Popen(
        [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pipe.stdout.close()
    assert pipe.stderr.read() == b"set()\n"
    pipe.wait()

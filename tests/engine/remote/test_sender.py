"""Records reach a server that fails, hangs or comes back; what does not stays in a file."""

import json
import threading
import time

import numpy as np
import pytest

from lightly_core.contracts import Logger
from lightly_core.engine.remote import Destination, RecordRefused, RemoteLogger
from lightly_core.engine.remote import sender as sender_module
from lightly_core.engine.remote.outbox import Outbox, unsent_loggers
from lightly_core.engine.remote.records import Finish, Metrics
from lightly_core.engine.remote.sender import Sender
from lightly_core.errors import RunInterrupted


class Server(Destination):
    """A server in memory. It keeps rows by name and step, and may fail or hang."""

    address = "http://server"

    def __init__(self):
        self.rows, self.others, self.opened = {}, [], []
        self.fails, self.refuses = False, ()
        self.hangs = threading.Event()
        self.hangs.set()

    def _ask(self):
        self.hangs.wait(20)
        if self.fails:
            raise ConnectionError("no route to http://user:secret@server/api?token=1")

    def open(self, identity):
        self._ask()
        self.opened.append(dict(identity))
        return {"run_id": "r1"}

    def send_metrics(self, rows):
        self._ask()
        for row in rows:
            if row.step in self.refuses:
                raise RecordRefused(f"step {row.step} is not for us")
        for row in rows:
            for name, value in row.values.items():
                self.rows[name, row.step, row.time] = value

    def send_config(self, config):
        self._ask()
        self.others.append("config")

    def send_image(self, image):
        self._ask()
        self.others.append((image.name, image.step, image.png[:4]))

    def send_artifact(self, artifact):
        self._ask()
        self.others.append(artifact.path.name)

    def finish(self, status, time):
        self._ask()
        self.others.append(status)

    @property
    def steps(self):
        return [step for _, step, _ in self.rows]


class Options:
    finish_timeout = 5.0


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(sender_module, "DELAYS", (0.02, 0.05))
    monkeypatch.setattr(sender_module, "_LINGER", 0.01)
    monkeypatch.setattr("lightly_core.engine.remote.logger.plain", lambda config: {"project": "p"})
    server = Server()
    yield server
    server.hangs.set()


@pytest.fixture
def make(server, tmp_path):
    class ToServer(RemoteLogger):
        name = "acme"

        @classmethod
        def make_destination(cls, config, folder):
            return server

    def make(resume_step=None, seconds=5.0):
        options = Options()
        options.finish_timeout = seconds
        return ToServer(options, tmp_path, resume_step)

    return make


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def log_steps(logger: Logger, *steps):
    for step in steps:
        logger.log_metrics({"train_loss": 1 / (1 + step)}, step)


def test_everything_is_sent_in_order_and_no_file_is_left(make, server, tmp_path):
    logger = make()
    logger.log_config({"epochs": 1})
    logger.log_image("views", np.zeros((4, 6, 3), np.uint8), 0)
    log_steps(logger, 0, 5, 10)
    file = tmp_path / "exported.pt"
    file.write_bytes(b"x")
    logger.log_artifact(file)
    logger.finish("finished")
    logger.finish("finished")
    assert server.steps == [0, 5, 10]
    assert server.others == ["config", ("views", 0, b"\x89PNG"), "exported.pt", "finished"]
    assert unsent_loggers(tmp_path) == []


def test_a_server_that_comes_back_gets_the_same_as_one_that_was_there(make, server, caplog):
    server.fails = True
    logger = make()
    log_steps(logger, 0, 5)
    wait_until(lambda: logger._sender._failures > 3)
    server.fails = False
    log_steps(logger, 10)
    wait_until(lambda: server.steps == [0, 5, 10])
    server.fails = True
    log_steps(logger, 15)
    wait_until(lambda: logger._sender.failure)
    server.fails = False
    logger.finish("finished")
    assert server.steps == [0, 5, 10, 15]
    assert server.others == ["finished"]
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "http://server/api" in warnings[0]
    assert "secret" not in warnings[0]
    assert "token" not in warnings[0]


def test_logging_does_not_wait_for_a_server_that_hangs(make, server):
    server.hangs.clear()
    logger = make()
    start = time.perf_counter()
    log_steps(logger, *range(200))
    assert time.perf_counter() - start < 1  # the server would take 20 s


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RunInterrupted])
def test_the_wait_at_the_end_is_bounded_and_ctrl_c_ends_it(
    make, server, tmp_path, caplog, stop, monkeypatch
):
    server.hangs.clear()
    logger = make(seconds=0.2 if stop is KeyboardInterrupt else 60)
    log_steps(logger, 0, 5)
    if stop is RunInterrupted:

        def interrupted(*args):
            raise stop

        monkeypatch.setattr(logger._sender, "finish", interrupted)
    logger.finish("finished")
    assert "3 records are not sent" in caplog.text
    assert f"lightly send {tmp_path}" in caplog.text
    assert len((tmp_path / "unsent.acme.jsonl").read_text().splitlines()) == 3


def test_a_server_that_was_away_before_the_end_gets_one_more_attempt(make, server):
    server.fails = True
    logger = make(seconds=60)
    wait_until(lambda: logger._sender._failures)
    start = time.monotonic()
    logger.finish("failed")
    assert time.monotonic() - start < 10


def test_what_was_not_sent_is_sent_later_and_only_once(make, server, tmp_path):
    server.fails = True
    logger = make(seconds=0)
    log_steps(logger, 0, 5)
    logger.finish("interrupted")
    server.fails = False
    for _ in range(2):
        outbox = Outbox(tmp_path, "acme")
        outbox.continue_old()
        assert Sender("acme", outbox, server).send_all()
        assert outbox.close() == 0
    assert server.steps == [0, 5]
    assert server.others == ["interrupted"]
    assert unsent_loggers(tmp_path) == []


def test_lines_after_a_kill_are_sent_from_the_stored_position(server, tmp_path):
    outbox = Outbox(tmp_path, "acme")
    for step in (0, 5):
        outbox.append(Metrics(step=step, values={"loss": 1.0}, time=step))
    line, _ = outbox.read()[0]
    outbox.done(line)
    outbox.save_state({"run_id": "r1"})
    with outbox.path.open("ab") as file:
        file.write(b'{"kind": "metr')  # the kill came in the middle of a line
    again = Outbox(tmp_path, "acme")
    again.continue_old()
    assert Sender("acme", again, server).send_all()
    assert server.steps == [5]
    assert server.opened == [{"run_id": "r1"}]


def test_a_resumed_run_keeps_what_it_will_not_repeat(make, server, tmp_path):
    server.fails = True
    logger = make(seconds=0)
    log_steps(logger, 0, 5, 10)
    logger.put(Metrics(step=99, values={"system/cpu": 1.0}, time=1, is_repeated=False))
    logger.finish("interrupted")
    server.fails = False
    resumed = make(resume_step=5)
    log_steps(resumed, 10, 15)
    resumed.finish("finished")
    assert server.steps == [0, 5, 99, 10, 15]
    assert server.others == ["finished"]


def test_a_refused_record_does_not_hold_up_the_others(make, server, tmp_path, caplog):
    server.refuses = (5,)
    logger = make()
    log_steps(logger, 0, 5, 10)
    logger.log_artifact(tmp_path / "gone.pt")
    logger.finish("finished")
    assert server.steps == [0, 10]
    kept = [json.loads(line) for line in (tmp_path / "unsent.acme.jsonl").open()]
    assert [line.get("step", line.get("path")) for line in kept] == [5, "gone.pt"]
    assert "2 records are not sent" in caplog.text


def test_a_full_disk_loses_records_but_does_not_raise(make, server, monkeypatch, caplog):
    logger = make()

    def full(record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logger._outbox, "append", full)
    log_steps(logger, 0, 5)
    monkeypatch.undo()
    logger.finish("finished")
    assert "2 records are lost" in caplog.text
    assert server.others == ["finished"]


def test_a_new_run_does_not_send_what_an_earlier_one_left(make, server, tmp_path):
    outbox = Outbox(tmp_path, "acme")
    outbox.append(Finish(status="failed", time=0))
    outbox.save_state({"run_id": "old"})
    logger = make()
    logger.finish("finished")
    assert server.others == ["finished"]
    assert "run_id" not in server.opened[0]

"""Runs with W&B's own process, and a stand-in for its server that fails.

W&B's server cannot be installed. The stand-in answers as much of its interface as a run needs, and
keeps the rows of the history by their position, as the server does.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tools.loggers.row import MOST_BLOCKED, Row
from tools.loggers.runs import At, run, unsent_lines


class StandIn:
    """Answers like W&B's server, or with 500.

    Attributes:
        fails: Whether it answers 500.
        history: Lines of the history by run and position.
        exit_codes: Exit code by run.
    """

    def __init__(self) -> None:
        self.fails = False
        self.history: dict[str, dict[int, str]] = {}
        self.exit_codes: dict[str, int] = {}
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, answer = 500, {}
                if not stand_in.fails:
                    asked = json.loads(body or b"{}")
                    code, answer = stand_in.answer(self.path, asked, self.headers["Host"])
                content = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(500 if stand_in.fails else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Print nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                """W&B closes connections as it likes."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, asked: dict[str, Any], host: str) -> tuple[int, dict[str, Any]]:
        """Return the code and the content of an answer."""
        if path.endswith("/file_stream"):
            self._keep(path.split("/")[-2], asked)
            return 200, {"limits": {}}
        query, variables = asked.get("query", ""), asked.get("variables") or {}
        if "upsertBucket" in query:
            project = {"id": "p", "name": variables.get("project"), "entity": {"name": "team"}}
            bucket = {"id": "x", "name": variables.get("name"), "config": "{}", "project": project}
            return 200, {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if "createRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"http://{host}/upload/{name}"}
                for name in variables.get("files") or []
            ]
            made = {"runID": "x", "uploadHeaders": [], "files": files}
            return 200, {"data": {"createRunFiles": made}}
        return (200, {"data": {}}) if query else (400, {"errors": [{"message": "no query"}]})

    def _keep(self, run_id: str, asked: dict[str, Any]) -> None:
        part = (asked.get("files") or {}).get("wandb-history.jsonl")
        if part is not None:
            history = self.history.setdefault(run_id, {})
            history.update(enumerate(part["content"], part["offset"]))
        if asked.get("complete"):
            self.exit_codes[run_id] = asked["exitcode"]

    def losses(self, run_id: str) -> list[tuple[int, float]]:
        """Return step and loss of all rows that have one."""
        rows = [json.loads(line) for line in self.history.get(run_id, {}).values()]
        return [(row["_step"], row["train_loss"]) for row in rows if "train_loss" in row]


def wandb_rows(work: Path, plain: float) -> Iterator[Row]:
    """Yield a line for each scenario.

    Args:
        work: A folder.
        plain: Seconds of a run without a logger.
    """
    server = StandIn()
    os.environ.update(WANDB_API_KEY="k" * 40, WANDB_BASE_URL=server.uri)

    def fails(value: bool, pause: float = 0.0) -> None:
        server.fails = value
        time.sleep(pause)

    back = At(20, lambda: fails(False, pause=3))
    working, failing = At(20, lambda: time.sleep(8)), At(30, lambda: fails(True))
    for scenario, name, callbacks in (
        ("W&B: undisturbed", "w-calm", ()),
        ("W&B: answers 500 until step 20", "w-back", (back,)),
        ("W&B: answers 500 from step 30", "w-dies", (working, failing)),
    ):
        server.fails = name == "w-back"
        options = {"wandb": {"request_timeout": 3.0, "finish_timeout": 5.0}}
        outcome = run(work / name, options, *callbacks)
        row = Row(scenario, outcome, seconds_without=plain)
        server.fails = False
        for _ in range(2):
            _send(row)
        _compare(server, row)
        yield row


def _send(row: Row) -> None:
    before = unsent_lines(row.outcome.folder)
    command = [sys.executable, "-m", "lightly_core.cli", "send", str(row.outcome.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    row.sent_later += before - unsent_lines(row.outcome.folder)
    if done.returncode != 0:
        row.problem = f"send ended with {done.returncode}"
        print(done.stdout, done.stderr, file=sys.stderr)


def _compare(server: StandIn, row: Row) -> None:
    folder = row.outcome.folder
    run_id = json.loads((folder / "remote.wandb.json").read_text())["id"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    expected = [(line["step"], line["train_loss"]) for line in lines if "train_loss" in line]
    if server.losses(run_id) != expected:
        row.problem = f"{len(server.losses(run_id))} of {len(expected)} losses"
    elif server.exit_codes.get(run_id) != 0:
        row.problem = "the end is missing"
    elif row.outcome.blocked > MOST_BLOCKED * row.outcome.training:
        row.problem = "calls are slow"

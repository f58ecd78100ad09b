"""Try the remote loggers with servers that fail, and print a table."""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightly_core.cli.main import main as lightly
from lightly_core.errors import RunInterrupted
from tools.loggers.model import model_problem
from tools.loggers.row import MOST_BLOCKED, Row
from tools.loggers.runs import At, Outcome, in_file, on_server, run
from tools.loggers.server import MlflowServer, Proxy
from tools.loggers.wandb_runs import wandb_rows

_HEADS = ("scenario", "sent", "left", "sent later", "same", "seconds", "in calls", "warnings")


class Trial:
    """Runs the scenarios against one server.

    Args:
        work: An empty folder.
        program: The command ``mlflow``.
    """

    def __init__(self, work: Path, program: str) -> None:
        self.work = work
        self.server = MlflowServer(work / "server", program)
        self.proxy = Proxy(self.server.port)
        self.plain = 0.0
        self.expected: dict[str, Any] = {}

    def options(self, name: str, **more: object) -> dict[str, Any]:
        """Return the loggers of a run."""
        own = {"experiment_name": name, "tracking_uri": self.proxy.uri, "request_timeout": 2}
        return {"mlflow": {**own, "finish_timeout": 5.0, **more}}

    def rows(self, only: str | None) -> Iterator[Row]:
        """Yield a line for each scenario."""
        run(self.work / "warm", None)  # imports and caches
        self.plain = run(self.work / "none", None).seconds
        if only != "wandb":
            yield from self.mlflow_rows()
        if only != "mlflow":
            yield from wandb_rows(self.work, self.plain)

    def mlflow_rows(self) -> Iterator[Row]:
        """Yield a line for each scenario with MLflow."""
        self.server.start()
        yield self.row("undisturbed", run(self.work / "calm", self.options("calm")), "calm")
        if problem := model_problem(self.work, self.server.uri):
            raise RuntimeError(problem)
        print("log_model: loaded without lightly-core, and the features are the same", flush=True)
        yield self.away("away from the start", "refused")
        yield self.away("hangs from the start", "hang")
        yield self.away("answers 500", "500")
        yield self.restarted()
        yield self.answers_lost()
        yield self.resumed()
        self.server.kill()
        self.proxy.close()

    def row(self, scenario: str, outcome: Outcome, name: str, *, later: bool = False) -> Row:
        """Compare what the server has with an undisturbed run, and send what is left."""
        row = Row(scenario, outcome, seconds_without=self.plain)
        if later:
            before = outcome.unsent
            for _ in range(2):  # the second time changes nothing
                code = lightly(["send", str(outcome.folder)])
                row.problem = row.problem or ("" if code == 0 else f"send ended with {code}")
            row.sent_later = before
        found = on_server(self.server.uri, name)
        self.expected = {**(self.expected or found), "metrics": in_file(outcome.folder)}
        wrong = [key for key in found if found[key] != self.expected[key]]
        if wrong:
            row.problem = f"{', '.join(wrong)} differ"
            print(f"{scenario}: {_difference(self.expected, found)}", file=sys.stderr)
        elif outcome.blocked > MOST_BLOCKED * outcome.training:
            row.problem = "calls are slow"
        return row

    def away(self, scenario: str, mode: str) -> Row:
        """Run while the server cannot be used at all. Send everything afterwards."""
        name = mode
        options = self.options(name)
        if mode == "refused":
            self.server.kill()
        else:
            self.proxy.mode = mode
        outcome = run(self.work / name, options)
        self.proxy.mode = "pass"
        if mode == "refused":
            self.server.start()
        return self.row(scenario, outcome, name, later=True)

    def restarted(self) -> Row:
        """Kill the server in the middle of a run, and start it again some steps later."""
        kill = At(20, self.server.kill)
        start = At(60, lambda: self.server.start(wait=False))
        outcome = run(self.work / "restart", self.options("restart"), kill, start)
        self.server.wait()
        return self.row("killed and restarted in a run", outcome, "restart", later=True)

    def answers_lost(self) -> Row:
        """Let the server get every request of some steps, but lose its answers."""

        def mode(value: str) -> None:
            self.proxy.mode = value
            time.sleep(3 if value == "drop" else 0)

        callbacks = At(20, lambda: mode("drop")), At(40, lambda: mode("pass"))
        outcome = run(self.work / "drop", self.options("drop"), *callbacks)
        return self.row("answers are lost for some steps", outcome, "drop", later=True)

    def resumed(self) -> Row:
        """Interrupt a run while the server is away, and resume it."""
        out, options = self.work / "resume", self.options("resume")

        def interrupt() -> None:
            os.kill(os.getpid(), 15)

        def hang() -> None:
            time.sleep(3)  # some steps are sent
            self.proxy.mode = "hang"

        with contextlib.suppress(RunInterrupted):
            run(out, options, At(30, hang), At(50, interrupt))
        self.proxy.mode = "pass"
        outcome = run(out, options, resume=True)
        return self.row("interrupted, away, then resumed", outcome, "resume", later=True)


def _difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    parts = []
    for key in expected:
        if expected[key] == found[key]:
            continue
        if isinstance(expected[key], dict):
            names = {*expected[key], *found[key]}
            for name in sorted(names):
                pair = expected[key].get(name), found[key].get(name)
                if pair[0] != pair[1]:
                    parts.append(f"{name}: expected {pair[0]}, found {pair[1]}")
        else:
            parts.append(f"{key}: expected {expected[key]}, found {found[key]}")
    return "\n  ".join(text[:600] for text in parts)


def main() -> int:
    """Run all scenarios. Return 1 if the server misses something or a run was slowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlflow", default="mlflow", help="the command of the whole of MLflow")
    parser.add_argument("--only", choices=("mlflow", "wandb"), help="try one logger")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    begun = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix=f"loggers-{uuid.uuid4().hex[:6]}-"))
    trial = Trial(work, arguments.mlflow)
    rows = []
    try:
        for row in trial.rows(arguments.only):
            rows.append(row)
            print(" | ".join(row.cells()), flush=True)
    finally:
        trial.server.kill()
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{len(rows)} scenarios, {time.monotonic() - begun:.0f} s")
    if arguments.markdown is not None:
        lines = [list(_HEADS), ["---"] * len(_HEADS), *(row.cells() for row in rows)]
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        arguments.markdown.write_text(text, encoding="utf-8")
    return int(any(row.problem for row in rows))


if __name__ == "__main__":
    sys.exit(main())

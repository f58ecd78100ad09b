"""A real MLflow server, and a proxy in front of it that can hang, fail and be away."""

import http.client
import os
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def free_port() -> int:
    """Return a port on which no program listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """``mlflow server`` with SQLite and a local folder of artifacts.

    Args:
        folder: Where it stores everything.
        program: The command ``mlflow``.
    """

    def __init__(self, folder: Path, program: str) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "server.log").open("ab")
        self._command = [
            *(program, "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--artifacts-destination", str(folder / "artifacts"), "--workers", "1"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            self._command,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,  # it starts workers, which end with it
        )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + 180
        while not self.answers():
            if time.monotonic() > end or self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"the server did not start, see {self._log.name}")
            time.sleep(0.2)

    def answers(self) -> bool:
        """Return whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it and its workers, as a machine that fails."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


class Proxy:
    """Passes requests to a server, or behaves badly.

    Attributes:
        mode: ``pass``, ``hang`` (accept and never answer), ``500``, or ``drop`` (pass the request,
            and lose every answer).
    """

    def __init__(self, port: int) -> None:
        self.mode = "pass"
        self.count = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                proxy.count += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.mode == "hang":
                    time.sleep(60)
                    return
                if proxy.mode == "500":
                    self.send_error(500)
                    return
                target = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                kept = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
                try:
                    target.request(self.command, self.path, body, kept)
                    answer = target.getresponse()
                    content = answer.read()
                except OSError:
                    self.close_connection = True  # the server is away
                    return
                if proxy.mode == "drop":
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.getheader("Content-Type") or "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, *arguments: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop accepting requests."""
        self._server.shutdown()
        self._server.server_close()

import hashlib
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lightly_core.download import transfer


class Handler(BaseHTTPRequestHandler):
    """Serves `server.site`; every quirk is an attribute of the site."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.requests.append((self.path, dict(self.headers)))
        status = site.statuses.pop(0) if site.statuses else 200
        location = site.redirects.get(self.path.partition("?")[0])
        if status != 200 or location is not None:
            self.send_response(status if status != 200 else 302)
            if location is not None:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_file(site)

    def send_file(self, site):
        start = self.start(site)
        if start >= len(site.content):
            self.send_error(416)
            return
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(site.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if site.says_size or start:
            self.send_header("Content-Length", str(len(body)))
        if site.etag is not None:
            self.send_header("ETag", site.etag)
        if site.modified is not None:
            self.send_header("Last-Modified", site.modified)
        self.send_header("Content-Type", site.kind)
        self.send_header("Connection", "close")
        self.end_headers()
        end = site.cuts.pop(0) if site.cuts else len(body)
        for position in range(0, end, site.block):
            block = body[position : min(position + site.block, end)]
            site.sent += len(
                block
            )  # before the write, as the receiver of the last byte may read it at once
            self.wfile.write(block)
            time.sleep(site.pause)
        self.close_connection = True

    def start(self, site):
        wanted = self.headers.get("Range")
        if wanted is None or not site.takes_ranges:
            return 0
        condition = self.headers.get("If-Range")
        if site.takes_conditions and condition not in (None, site.etag, site.modified):
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *args):
        pass


class Site:
    """One file on a server of its own, under every path.

    Attributes:
        requests: Path and headers of each request.
        sent: Bytes of content that were written.
        statuses: Answers to the next requests; 200 when there are no more.
        redirects: Location by path.
        cuts: After how many bytes the next answers end.
    """

    def __init__(self):
        self.content = bytes(range(256)) * 400
        self.etag, self.modified, self.kind = '"one"', None, "application/octet-stream"
        self.takes_ranges = self.takes_conditions = self.says_size = True
        self.statuses, self.cuts, self.requests, self.redirects = [], [], [], {}
        self.sent, self.block, self.pause = 0, 1 << 14, 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # clients that go away
        self.server.site = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.002,), daemon=True)
        self.thread.start()

    def url(self, path="/models/net.pth", user=""):
        return f"http://{user}127.0.0.1:{self.server.server_address[1]}{path}"

    @property
    def sha256(self):
        return hashlib.sha256(self.content).hexdigest()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def another_site():
    site = Site()
    site.content = b"another file"
    yield site
    site.close()


@pytest.fixture
def dead_url(site):
    """A URL of a port without a listener."""
    site.server.socket.close()
    return site.url()


@pytest.fixture
def cache(tmp_path, monkeypatch, caplog):
    """The folder ``models`` of an empty cache; attempts follow each other at once."""
    for name in ("LIGHTLY_OFFLINE", "LIGHTLY_TRAIN_CACHE_DIR", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", (0, 0, 0))
    caplog.set_level(logging.INFO, logger="lightly_core")
    return tmp_path / "cache" / "models"

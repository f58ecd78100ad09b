"""Names with control characters or formulas, links, pipes, devices and folders."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from tools.hostile.case import EITHER, IGNORED, LISTED, READ, Case, noise
from tools.hostile.pillows import saved

_NAMES = (
    b"\x1b[2J\x1b[31mred\x1b]0;title\x07.png",
    b"two\nlines.png",
    b"carriage\rreturn.png",
    b"tab\tstop.png",
    b"bell\x07back\x08.png",
    b"del\x7f.png",
    b"=cmd|' &C calc'!A0.png",
    b"+1+1.png",
    b"-1-1.png",
    b"--overwrite.png",
    b"@SUM(A1).png",
    b"a;=1+1;.png",
    b"quote\"comma,'.png",
    b"%s%n%d{0}{name}.png",
    b"$(touch x)`touch y`.png",
    b"back\\slash\\n\\x41.png",
    b" space first and last .png",
    b"star*question?[1].png",
    b"caf\xe9 latin.png",
    b"\xff\xfe\xfd.png",
    b"\xed\xa0\x80 half.png",
    "ünïcödé ☃ 東京 😀.png".encode(),
    "right \u202egnp.to left.png".encode(),
    "zero\u200bwidth\ufeff.png".encode(),
    "wide \uff1d1+1.png".encode(),
    "lines\u2028and\u0085.png".encode(),
    "e\u0301 or \u00e9.png".encode(),
    b"UPPER.PNG",
    b"two.dots..png",
    b"~tilde.png",
    b"#hash.png",
    b"CON.png",
)
#: The longest names have 255 bytes. Some file systems allow fewer.
_LONG = (b"n" * 251 + b".png", "é".encode() * 125 + b".png")


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield about 60 files."""
    for name in (*_NAMES, *_LONG):
        pixels = noise(rng, 9, 9, 3)
        content = saved(Image.fromarray(pixels), "png")
        yield Case("unusual names", name, content, expected=pixels.astype(float))
    yield from _links(rng)
    yield from _no_files()


def _links(rng: np.random.Generator) -> Iterator[Case]:
    row = "links"
    pixels = noise(rng, 9, 9, 3)
    content, expected = saved(Image.fromarray(pixels), "png"), pixels.astype(float)
    yield Case(row, b"target.png", content, expected=expected)

    def link(target: bytes) -> Callable[[bytes], None]:
        return lambda path: os.symlink(target, path)

    yield Case(row, b"link.png", None, expected=expected, make=link(b"target.png"))
    yield Case(row, b"link-to-link.jpg", None, expected=expected, make=link(b"link.png"))
    yield Case(row, b"broken.png", None, LISTED, reason="missing", make=link(b"nowhere.png"))
    yield Case(row, b"itself.png", None, IGNORED, make=link(b"itself.png"))
    yield Case(row, b"up.png", None, IGNORED, make=link(b".."))
    yield Case(row, b"here.png", None, IGNORED, make=link(b"."))
    for number, device in enumerate((b"/dev/zero", b"/dev/null", b"/dev/random", b"/dev/tty")):
        yield Case(row, f"device-{number}.png".encode(), None, IGNORED, make=link(device))
    for number, entry in enumerate((b"/proc/kmsg", b"/proc/self/mem", b"/proc/self/environ")):
        reason = "empty file"
        name = f"system-{number}.png".encode()
        yield Case(row, name, None, LISTED, reason=reason, make=link(entry))


def _no_files() -> Iterator[Case]:
    row = "pipes, folders, rights"
    yield Case(row, b"pipe.png", None, IGNORED, make=os.mkfifo)
    yield Case(row, b"pipe.jpg", None, IGNORED, make=os.mkfifo)
    yield Case(row, b"socket.png", None, IGNORED, make=_socket)
    yield Case(row, b"folder.jpg", None, IGNORED, make=os.mkdir)
    yield Case(row, b"closed.png", None, EITHER if os.geteuid() == 0 else LISTED, make=_closed)
    yield Case(row, b"sparse.png", None, LISTED, reason="zero bytes", make=_sparse(b""))
    # An intact image before a terabyte of zeros.
    whole = saved(Image.new("RGB", (9, 9), (1, 2, 3)), "png")
    expected = np.broadcast_to(np.array([1.0, 2.0, 3.0]), (9, 9, 3))
    yield Case(row, b"sparse-whole.png", None, READ, expected, make=_sparse(whole))
    yield Case(row, b"sparse.webp", None, LISTED, make=_sparse(b"RIFF\xff\xff\xff\x7fWEBPVP8 "))
    yield Case(row, b"sparse.jpg", None, LISTED, make=_sparse(b"\xff\xd8\xff\xe0\0\x10JFIF\0"))
    yield Case(row, b"sparse.avif", None, LISTED, make=_sparse(b"\0\0\0\x1cftypavif\0\0\0\0avif"))


def _socket(path: bytes) -> None:
    place = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        # Addresses of sockets are short, so the path uses the handle of the folder.
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{place}/{os.path.basename(path).decode()}")
    finally:
        os.close(place)


def _closed(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(saved(Image.new("RGB", (9, 9)), "png"))
    os.chmod(path, 0)


def _sparse(content: bytes) -> Callable[[bytes], None]:
    def make(path: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content)
            file.truncate(2**40)

    return make

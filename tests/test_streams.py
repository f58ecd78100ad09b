import io
import subprocess
import sys

import pytest

from lightly_core.streams import is_terminal

CLOSED = "import os, sys\nfor number in {numbers}: os.close(number)\n"
#: Stands in for the start of an interpreter whose caller has closed the streams.
MISSING = "sys.stdin = sys.stdout = sys.stderr = None\n"


class Foreign:
    def write(self, text):
        pass


@pytest.mark.parametrize("stream", [None, Foreign(), io.StringIO()])
def test_what_is_no_terminal_is_told_without_an_error(stream):
    assert not is_terminal(stream)


def test_a_closed_stream_is_no_terminal():
    stream = io.StringIO()
    stream.close()
    assert not is_terminal(stream)


@pytest.mark.parametrize("numbers", [(0,), (1,), (1, 2), (0, 1, 2)])
def test_the_place_of_a_closed_stream_is_not_taken_by_a_file(tmp_path, numbers):
    program = f"""{CLOSED.format(numbers=numbers)}{MISSING}
from lightly_core.cli.main import main
code = main(["--version"])
with open({str(tmp_path / "file")!r}, "w") as file:
    assert file.fileno() > 2
    print("nowhere")
    os.write(1, b"nowhere")
sys.exit(code)
"""
    result = subprocess.run([sys.executable, "-c", program], check=False)
    assert result.returncode == 0
    assert (tmp_path / "file").read_bytes() == b""

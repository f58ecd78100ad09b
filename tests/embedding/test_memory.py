"""Memory does not grow with the number of images, and Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

#: Writes features of DIM numbers for COUNT images, which need no time to make, and prints by how
#: many bytes the memory of the process grew meanwhile. Pages of files that are mapped do not
#: count: the system takes them back when it needs memory.
WRITE = """
import sys, threading, time
from pathlib import Path
import numpy as np
from lightly_core.embedding.writers import open_writer

file_format, out, count, dim = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def own_memory():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

peak, done = 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, own_memory())
        time.sleep(0.002)

features = np.random.default_rng(0).random((128, dim), np.float32)
def write(file, number):
    with open_writer(file_format, file, (dim,)) as writer:
        for start in range(0, number, 128):
            writer.add([f"folder/{start + k:08}.png" for k in range(128)], features)

write(out.with_suffix(".warm"), 1024)  # libraries are loaded, buffers made
before = own_memory()
thread = threading.Thread(target=watch)
thread.start()
write(out, count)
done = True
thread.join()
print(peak - before)
"""


def growth(file_format, out, count, dim=1024):
    words = [sys.executable, "-c", WRITE, file_format, str(out), str(count), str(dim)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
@pytest.mark.parametrize("file_format", ["csv", "torch", "npz", "parquet"])
def test_memory_does_not_grow_with_the_number_of_images(file_format, tmp_path):
    few, many = 4096, 32768
    small = growth(file_format, tmp_path / "few", few)
    large = growth(file_format, tmp_path / "many", many)
    features = (many - few) * 1024 * 4  # 112 MiB
    # Names are kept, about 150 bytes each with what Python adds; they are pickled for torch.
    assert large - small < 0.15 * features, (small, large)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_ends_with_130_and_leaves_nothing(workers, pictures, tmp_path):
    out = tmp_path / "new" / "x.npz"
    code = (
        "import sys, time; import lightly_core.embedding.writers as writers\n"
        "add = writers.NpzWriter.add\n"
        "def slow(self, names, features): add(self, names, features); time.sleep(60)\n"
        "writers.NpzWriter.add = slow\n"
        "from lightly_core.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["embed", "model=timm/test_vit", f"data={pictures}", f"out={out}", "image_size=32"]
    words += ["batch_size=4", f"num_workers={workers}", "accelerator=cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (out.parent.is_dir() and os.listdir(out.parent)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2)  # the first batch is written
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes get it
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert os.listdir(out.parent) == []

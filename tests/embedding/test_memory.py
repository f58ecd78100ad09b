"""Memory does not grow with the number of images, and Ctrl-C leaves no file."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from lightly_core.cli.main import main
from lightly_core.embedding import writers

#: Writes features of 1,024 numbers for few and for many images, which need no time to make, and
#: prints by how many bytes the memory of the process grew meanwhile. Pages of files that are mapped
#: do not count: the system takes them back when it needs memory.
WRITE = """
import json, sys, threading, time
from pathlib import Path
import numpy as np
from lightly_core.embedding.writers import open_writer

def own_memory():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

features = np.random.default_rng(0).random((128, 1024), np.float32)
def write(file_format, number):
    with open_writer(file_format, Path(sys.argv[1]) / file_format, (1024,)) as writer:
        for start in range(0, number, 128):
            writer.add([f"folder/{start + k:08}.png" for k in range(128)], features)

def growth(file_format, number):
    peak, done = 0, False
    def watch():
        nonlocal peak
        while not done:
            peak = max(peak, own_memory())
            time.sleep(0.002)
    before = own_memory()
    thread = threading.Thread(target=watch)
    thread.start()
    write(file_format, number)
    done = True
    thread.join()
    return peak - before

found = {}
for file_format in sys.argv[4:]:
    write(file_format, 1024)  # libraries are loaded, buffers made
    found[file_format] = [growth(file_format, int(number)) for number in sys.argv[2:4]]
print(json.dumps(found))
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    few, many = 2048, 10240
    words = [sys.executable, "-c", WRITE, str(tmp_path), str(few), str(many)]
    words += ["csv", "torch", "npz", "parquet"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    features = (many - few) * 1024 * 4  # 32 MiB
    # Names are kept, about 150 bytes each with what Python adds; they are pickled for torch.
    growths = json.loads(done.stdout)
    assert len(growths) == 4
    too_much = {
        file_format: (small, large)
        for file_format, (small, large) in growths.items()
        if large - small >= 0.15 * features
    }
    assert too_much == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(("number", "workers"), [("SIGINT", 0), ("SIGINT", 2), ("SIGTERM", 2)])
def test_a_signal_ends_with_130_and_leaves_nothing(
    number, workers, image_folder, tmp_path, monkeypatch, capfd
):
    number = getattr(signal, number)
    out = tmp_path / "new" / "x.npz"
    # A shell that starts the tests in the background lets them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    add = writers.NpzWriter.add
    found = []

    def add_and_press(self, names, features):
        add(self, names, features)
        found.extend([os.listdir(out.parent), multiprocessing.active_children()])
        for child in multiprocessing.active_children():  # a terminal presses in all processes
            os.kill(child.pid, number)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(writers.NpzWriter, "add", add_and_press)
    words = ["embed", "model=timm/test_vit", f"data={image_folder}", f"out={out}", "image_size=32"]
    try:
        code = main([*words, "batch_size=4", f"num_workers={workers}", "accelerator=cpu"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    temporary, children = found
    assert len(temporary) == 1  # the file was being written
    assert len(children) == workers
    assert capfd.readouterr().err.splitlines()[-1] == "interrupted"
    assert os.listdir(out.parent) == []

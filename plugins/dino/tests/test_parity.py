"""One process and two see the same loss, gradients, centres and teacher."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("parity_worker.py")


@pytest.fixture(scope="module")
def worker():
    spec = importlib.util.spec_from_file_location("parity_worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    views = [
        torch.randn(8, 3, size, size, generator=generator, dtype=torch.float64)
        for size in (32, 32, 16)
    ]
    # As many hidden patches in both halves: both processes then have room for all of them.
    mask = torch.zeros(8, 2, 16, dtype=torch.bool)
    for image, hidden in enumerate(
        [(2, 0), (0, 6), (4, 1), (0, 0), (5, 0), (0, 3), (1, 4), (0, 0)]
    ):
        for view, count in enumerate(hidden):
            mask[image, view, torch.randperm(16, generator=generator)[:count]] = True
    return {"views": views, "mask": mask}


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_processes")
    file = folder / "data.pt"
    torch.save(data, file)
    files = [folder / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen([sys.executable, WORKER, str(rank), folder / "init", file, files[rank]])
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=300) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(result, weights_only=True) for result in files]


NAMES = [
    *("dino", "dino-sinkhorn", "ibot", "dinov2", "dinov31", "dinov3", "dinov3-softmax"),
    *("simdino", "simdinov2"),
]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_do_what_one_does(name, worker, data, results):
    expected = worker.run(name, data, 0, 1)
    first, second = (result[name] for result in results)
    mean = (first["losses"] + second["losses"]) / 2
    torch.testing.assert_close(mean, expected["losses"], rtol=1e-9, atol=1e-10)
    for result in (first, second):
        for part in ("gradients", "state"):
            torch.testing.assert_close(result[part], expected[part], rtol=1e-7, atol=1e-10)


def test_the_worker_knows_the_same_methods(worker):
    assert list(worker.METHODS) == NAMES

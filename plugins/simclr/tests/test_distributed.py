import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lightly_simclr.loss import nt_xent

WORKER = Path(__file__).with_name("distributed_worker.py")
PER_PROCESS = 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()


@pytest.fixture(scope="module")
def views():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 2 * PER_PROCESS, 6, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def results(model, views, tmp_path_factory):
    """What two processes with half of the images each found."""
    folder = tmp_path_factory.mktemp("two_processes")
    data = folder / "data.pt"
    torch.save({"model": model.state_dict(), "views": views}, data)
    files = [folder / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen([sys.executable, WORKER, str(rank), folder / "init", data, files[rank]])
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(file, weights_only=True) for file in files]


def test_the_mean_loss_is_that_of_one_large_batch(results, model, views):
    expected = nt_xent(model(views[0]), model(views[1]), temperature=0.2)
    mean = (results[0]["loss"] + results[1]["loss"]) / 2
    torch.testing.assert_close(mean, expected.detach(), rtol=1e-10, atol=0)


def test_the_averaged_gradients_are_those_of_one_large_batch(results, model, views):
    loss = nt_xent(model(views[0]), model(views[1]), temperature=0.2)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    for result in results:
        for gradient, wanted in zip(result["gradients"], expected, strict=True):
            torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


def test_each_process_points_at_its_own_block(results):
    block = [3, 4, 5, 0, 1, 2]
    assert results[0]["pair"].tolist() == block
    assert results[1]["pair"].tolist() == [6 + column for column in block]
    own = torch.eye(6, dtype=torch.bool)
    others = torch.zeros_like(own)
    assert torch.equal(torch.isinf(results[0]["logits"]), torch.cat([own, others], dim=1))
    assert torch.equal(torch.isinf(results[1]["logits"]), torch.cat([others, own], dim=1))

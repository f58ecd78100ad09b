import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightly_core.parts import distributed

WORKER = Path(__file__).with_name("distributed_worker.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_processes")
    files = [folder / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen([sys.executable, WORKER, str(rank), folder / "init", files[rank]])
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(file, weights_only=True) for file in files]


def leaf(rank):
    return torch.arange(6, dtype=torch.float64).reshape(2, 3) + 10 * rank


def weights(rank):
    return torch.arange(12, dtype=torch.float64).reshape(4, 3) * (rank + 1)


def test_ranks_and_world_size(results):
    assert [(result["rank"], result["world_size"]) for result in results] == [(0, 2), (1, 2)]


def test_gather_concatenates_in_the_order_of_the_ranks(results):
    for result in results:
        assert torch.equal(result["gathered"], torch.cat([leaf(0), leaf(1)]))
        assert result["labels"].tolist() == [0, 5, 1, 6]


def test_gather_takes_tensors_that_are_not_contiguous(results):
    for result in results:
        assert torch.equal(result["transposed"], torch.cat([leaf(0).T, leaf(1).T]))


def test_gathered_rows_get_the_gradients_of_both_losses(results):
    total = weights(0) + weights(1)
    assert torch.equal(results[0]["gathered_gradient"], total[:2])
    assert torch.equal(results[1]["gathered_gradient"], total[2:])


def test_gather_without_gradient_is_detached(results):
    assert all(result["detached"] for result in results)


def test_sum_and_its_gradient_run_over_both_processes(results):
    for rank, result in enumerate(results):
        assert torch.equal(result["sum"], leaf(0) + leaf(1))
        assert torch.equal(result["sum_gradient"], (weights(0) + weights(1))[:2])
        assert torch.equal(result["argument_after_sum"], leaf(rank))


def test_mean_is_half_the_sum(results):
    for result in results:
        assert torch.equal(result["mean"], (leaf(0) + leaf(1)) / 2)
        assert torch.equal(result["mean_gradient"], (weights(0) + weights(1))[:2] / 2)


@pytest.mark.parametrize(
    "function",
    [
        distributed.gather_with_gradient,
        distributed.reduce_sum_with_gradient,
        distributed.reduce_mean_with_gradient,
    ],
)
def test_one_process_gets_its_argument_back_with_gradient(function):
    x = leaf(0).requires_grad_()
    output = function(x)
    assert torch.equal(output, x)
    output.sum().backward()
    assert torch.equal(x.grad, torch.ones(2, 3, dtype=torch.float64))


def test_one_process_gathers_its_own_rows_detached():
    x = leaf(0).requires_grad_()
    gathered = distributed.gather(x)
    assert torch.equal(gathered, x)
    assert not gathered.requires_grad


def test_without_process_group_there_is_one_process():
    assert (distributed.rank(), distributed.world_size()) == (0, 1)

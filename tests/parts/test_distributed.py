import pytest
import torch

from lightly_core.parts import distributed
from lightly_core.testing import shared_pair


def leaf(rank):
    return torch.arange(6, dtype=torch.float64).reshape(2, 3) + 10 * rank


def weights(rank):
    """Coefficients of the losses, other ones on each process."""
    return torch.arange(12, dtype=torch.float64).reshape(4, 3) * (rank + 1)


def reduced(rank, function):
    """What a function gives on this process, the gradient of its argument, and the argument."""
    x = leaf(rank).requires_grad_()
    output = function(x)
    (output * weights(rank)[: len(output)]).sum().backward()
    return output.detach(), x.grad, x.detach()


def everything(rank):
    return {
        "rank": distributed.rank(),
        "world_size": distributed.world_size(),
        "gathered": reduced(rank, distributed.gather_with_gradient),
        "sum": reduced(rank, distributed.reduce_sum_with_gradient),
        "mean": reduced(rank, distributed.reduce_mean_with_gradient),
        "labels": distributed.gather(torch.tensor([rank, rank + 5])),
        "detached": not distributed.gather(leaf(rank).requires_grad_()).requires_grad,
        "transposed": distributed.gather_with_gradient(leaf(rank).T),
    }


@pytest.fixture(scope="module")
def results():
    return shared_pair().run(everything)


@pytest.mark.processes
def test_ranks_and_world_size(results):
    assert [(result["rank"], result["world_size"]) for result in results] == [(0, 2), (1, 2)]


@pytest.mark.processes
def test_gather_concatenates_in_the_order_of_the_ranks(results):
    for result in results:
        assert torch.equal(result["gathered"][0], torch.cat([leaf(0), leaf(1)]))
        assert result["labels"].tolist() == [0, 5, 1, 6]


@pytest.mark.processes
def test_gather_takes_tensors_that_are_not_contiguous(results):
    for result in results:
        assert torch.equal(result["transposed"], torch.cat([leaf(0).T, leaf(1).T]))


@pytest.mark.processes
def test_gathered_rows_get_the_gradients_of_both_losses(results):
    total = weights(0) + weights(1)
    assert torch.equal(results[0]["gathered"][1], total[:2])
    assert torch.equal(results[1]["gathered"][1], total[2:])


@pytest.mark.processes
def test_gather_without_gradient_is_detached(results):
    assert all(result["detached"] for result in results)


@pytest.mark.processes
def test_sum_and_its_gradient_run_over_both_processes(results):
    for rank, result in enumerate(results):
        total, gradient, argument = result["sum"]
        assert torch.equal(total, leaf(0) + leaf(1))
        assert torch.equal(gradient, (weights(0) + weights(1))[:2])
        assert torch.equal(argument, leaf(rank))


@pytest.mark.processes
def test_mean_is_half_the_sum(results):
    for result in results:
        mean, gradient, _ = result["mean"]
        assert torch.equal(mean, (leaf(0) + leaf(1)) / 2)
        assert torch.equal(gradient, (weights(0) + weights(1))[:2] / 2)


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

"""Two processes with half of the rows each must give what one gives with all of them."""

import pytest
import torch

from lightly_core.parts.covariance import (
    covariance,
    diagonal_and_rest,
    second_moment,
    squared_norm,
    standardized,
)
from lightly_core.parts.whitening import whitened_columns, whitened_rows
from lightly_core.testing import shared_pair

pytestmark = pytest.mark.processes


def wide(x):
    """Twice as many columns as the rows of both processes, so that products of rows are taken."""
    return torch.cat([x, x.square(), x.pow(3), x.exp()], dim=1)  # (8, 20)


# Of all rows: equal on all processes, or the mean over the process's own rows.
LOSSES = {
    "covariance": lambda x: covariance(x).pow(3).sum(),
    "second_moment": lambda x: second_moment(x, x.square()).sin().sum(),
    "squared_norm": lambda x: squared_norm(wide(x), wide(x).sin()),
    "diagonal": lambda x: diagonal_and_rest(wide(x), wide(x).sin(), ddof=1)[0].pow(3).sum(),
    "rest": lambda x: diagonal_and_rest(wide(x), wide(x).sin(), ddof=1)[1],
    "standardized": lambda x: standardized(x).pow(3).mean(),
    "whitened_columns": lambda x: whitened_columns(x, num_iterations=3).pow(3).mean(),
    "whitened_rows": lambda x: whitened_rows(x, num_iterations=3).pow(3).mean(),
}


def losses_and_gradients(x):
    found = {}
    for name, function in LOSSES.items():
        rows = x.clone().requires_grad_()
        loss = function(rows)
        loss.backward()
        found[name] = (loss.detach(), rows.grad)
    return found


def inputs():
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def of_half(rank, rows):
    return losses_and_gradients(rows.chunk(2)[rank])


@pytest.fixture(scope="module")
def results():
    return shared_pair().run(of_half, inputs())


@pytest.mark.parametrize("name", LOSSES)
def test_averaged_losses_and_gradients_are_those_of_one_process(results, name):
    loss, gradient = losses_and_gradients(inputs())[name]
    losses, gradients = zip(*(result[name] for result in results), strict=True)
    torch.testing.assert_close(sum(losses) / 2, loss)
    # DistributedDataParallel averages gradients over processes.
    torch.testing.assert_close(torch.cat(gradients) / 2, gradient)

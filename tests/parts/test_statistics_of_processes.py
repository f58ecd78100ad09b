"""Two processes with half of the rows each must give what one gives with all of them."""

import pytest
import torch

from lightly_core.parts.centering import Center
from lightly_core.parts.coding_rate import coding_rate
from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.koleo import koleo
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_core.parts.sliced import random_slices, sigreg, sliced_wasserstein
from lightly_core.testing import shared_pair

pytestmark = pytest.mark.processes


def inputs():
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def two_views(rows):
    return torch.stack([rows, rows.flip(1)])


# An odd number: the two processes have unequal shares.
SLICES = random_slices(7, 5, step=3, like=inputs())


def loss_and_gradient(function, rows):
    rows = rows.clone().requires_grad_()
    loss = function(rows)
    loss.backward()
    return {"loss": loss.detach(), "gradient": rows.grad}


def saved_center(inputs, rank):
    """The centre that this process saves, with the last update still under way."""
    center = Center(inputs.shape[1])
    for step in range(3):
        targets = center.probabilities(inputs.chunk(2)[rank], 0.1)
        center.update(inputs.chunk(2)[rank] + step)
    return {"state": center.state_dict(), "targets": targets}


def statistics(rank, inputs):
    """What this process gives; it takes its share of the rows."""
    half = inputs.chunk(2)[rank]
    slices = random_slices(7, inputs.shape[1], step=3, like=inputs)
    # Of uneven shares the second is empty, and all rows are on the first process.
    uneven, nothing = (inputs[:3], inputs[3:]), (inputs, inputs[:0])
    few = Center(inputs.shape[1])
    few.update(uneven[rank])
    none = Center(inputs.shape[1])
    none.update(inputs[:0])
    return {
        "sinkhorn": sinkhorn(half, 0.1),
        "sinkhorn_uneven": sinkhorn(uneven[rank], 0.1),
        "sinkhorn_nothing": sinkhorn(nothing[rank], 0.1),
        "sinkhorn_by_position": sinkhorn(torch.stack([half, half.flip(1)]), 0.1),
        "center": saved_center(inputs, rank),
        "center_uneven": few.center,
        "center_none": none.center,
        "koleo": loss_and_gradient(lambda x: koleo(x, all_processes=True), half),
        "koleo_alone": koleo(half),
        "coding_rate": loss_and_gradient(lambda x: coding_rate(x, eps=0.05), half),
        "sigreg": loss_and_gradient(lambda x: sigreg(two_views(x), slices), half),
        "sliced_wasserstein": loss_and_gradient(
            lambda x: sliced_wasserstein(two_views(gather_with_gradient(x)), slices), half
        ),
    }


@pytest.fixture(scope="module")
def results():
    return shared_pair().run(statistics, inputs())


@pytest.mark.parametrize("name", ["sinkhorn", "sinkhorn_uneven", "sinkhorn_nothing"])
def test_sinkhorn_assigns_the_rows_of_both(results, name):
    found = torch.cat([result[name] for result in results])
    torch.testing.assert_close(found, sinkhorn(inputs(), 0.1))


def test_sinkhorn_by_position_assigns_the_rows_of_both(results):
    found = torch.cat([result["sinkhorn_by_position"] for result in results], dim=1)
    torch.testing.assert_close(found[0], sinkhorn(inputs(), 0.1))
    torch.testing.assert_close(found[1], sinkhorn(inputs().flip(1), 0.1))


def test_the_centre_is_that_of_all_rows_and_is_saved_complete(results):
    center = Center(5)
    for step in range(3):
        targets = center.probabilities(inputs(), 0.1)
        center.update(inputs() + step)
    for result in results:
        saved = result["center"]["state"]["_extra_state"]["center"]
        torch.testing.assert_close(saved, center.center)
    found = torch.cat([result["center"]["targets"] for result in results])
    torch.testing.assert_close(found, targets)


def test_each_row_counts_the_same_in_the_centre(results):
    expected = 0.1 * inputs().mean(dim=0)
    for result in results:
        torch.testing.assert_close(result["center_uneven"], expected)


def test_the_centre_stays_where_no_process_has_a_row(results):
    for result in results:
        assert not result["center_none"].any()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("koleo", koleo),
        ("coding_rate", lambda x: coding_rate(x, eps=0.05)),
        ("sigreg", lambda x: sigreg(two_views(x), SLICES)),
        ("sliced_wasserstein", lambda x: sliced_wasserstein(two_views(x), SLICES)),
    ],
)
def test_averaged_losses_and_gradients_are_those_of_one_process(results, name, function):
    rows = inputs().requires_grad_()
    loss = function(rows)
    loss.backward()
    found = [result[name] for result in results]
    torch.testing.assert_close((found[0]["loss"] + found[1]["loss"]) / 2, loss.detach())
    # DistributedDataParallel averages gradients over processes.
    gradient = torch.cat([part["gradient"] for part in found]) / 2
    torch.testing.assert_close(gradient, rows.grad)


def test_neighbours_are_looked_for_on_one_process_unless_told_otherwise(results):
    for result, half in zip(results, inputs().chunk(2), strict=True):
        torch.testing.assert_close(result["koleo_alone"], koleo(half))

"""Two processes with half of the rows each must give what one gives with all of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightly_core.parts.centering import Center
from lightly_core.parts.coding_rate import coding_rate
from lightly_core.parts.koleo import koleo
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_core.parts.sliced import random_slices, sigreg, sliced_wasserstein

WORKER = Path(__file__).with_name("statistics_worker.py")


def inputs():
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def two_views(rows):
    return torch.stack([rows, rows.flip(1)])


# An odd number: the two processes have unequal shares.
SLICES = random_slices(7, 5, step=3, like=inputs())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_processes")
    torch.save(inputs(), folder / "input.pt")
    files = [folder / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), folder / "init", folder / "input.pt", files[rank]]
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(file, weights_only=True) for file in files]


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

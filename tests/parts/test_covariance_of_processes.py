"""Two processes with half of the rows each must give what one gives with all of them.

Started as a script, ``RANK INIT_FILE RESULT_FILE``, this file is one of the two.
"""

import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from lightly_core.parts.covariance import covariance, second_moment, standardized
from lightly_core.parts.whitening import whitened_columns, whitened_rows

# Of all rows: equal on all processes, or the mean over the process's own rows.
LOSSES = {
    "covariance": lambda x: covariance(x).pow(3).sum(),
    "second_moment": lambda x: second_moment(x, x.square()).sin().sum(),
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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_processes")
    files = [folder / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), folder / "init", files[rank]])
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("name", LOSSES)
def test_averaged_losses_and_gradients_are_those_of_one_process(results, name):
    loss, gradient = losses_and_gradients(inputs())[name]
    losses, gradients = zip(*(result[name] for result in results), strict=True)
    torch.testing.assert_close(sum(losses) / 2, loss)
    # DistributedDataParallel averages gradients over processes.
    torch.testing.assert_close(torch.cat(gradients) / 2, gradient)


if __name__ == "__main__":
    number = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    torch.save(losses_and_gradients(inputs().chunk(2)[number]), sys.argv[3])
    dist.destroy_process_group()

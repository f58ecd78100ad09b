"""Two processes with half of the batch each learn what one with the whole batch learns."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("parity_worker.py")
NAMES = ["mae", "simmim", "msn", "pmsn", "ijepa", "capi"]


@pytest.fixture(scope="module")
def results(tmp_path_factory, module_options):
    folder = tmp_path_factory.mktemp("two_processes")
    files = [folder / f"{rank}.pt" for rank in range(2)]
    arguments = [folder / "init", json.dumps(module_options)]
    processes = [
        subprocess.Popen([sys.executable, WORKER, str(rank), *arguments, files[rank]])
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=300) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_loss_is_that_of_one_process(results, name):
    mean = sum(result["both"][name]["loss"] for result in results) / 2
    torch.testing.assert_close(mean, results[0]["alone"][name]["loss"], rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_averaged_gradients_are_those_of_one_process(results, name):
    expected = results[0]["alone"][name]["gradients"]
    assert expected
    for result in results:
        found = result["both"][name]["gradients"]
        assert found.keys() == expected.keys()
        for key, gradient in found.items():
            torch.testing.assert_close(gradient, expected[key], rtol=1e-7, atol=1e-11, msg=key)


@pytest.mark.parametrize("name", ["msn", "pmsn"])
def test_a_heavy_regulariser_agrees_too(results, name):
    """Its gradient goes through the mean over processes; the cross-entropy could hide an error."""
    alone, both = (results[0][kind][f"{name} regularised"] for kind in ("alone", "both"))
    for key, gradient in both["gradients"].items():
        torch.testing.assert_close(gradient, alone["gradients"][key], rtol=1e-7, atol=1e-9, msg=key)

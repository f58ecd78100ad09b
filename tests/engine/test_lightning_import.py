"""Lightning is imported without the metrics of torchmetrics, which stays usable."""

import subprocess
import sys

import pytest

START = """
import sys
from lightly_core.engine.lightning_import import import_lightning
import_lightning()
from lightning.pytorch.core import module
heavy = {"scipy", "matplotlib", "torchmetrics.classification", "torchmetrics.utilities.plot"}
assert not heavy & set(sys.modules)
import unittest.util
assert not hasattr(sys.modules["torchmetrics"], "__warningregistry__")
import torchmetrics
assert "scipy" not in sys.modules
"""


@pytest.mark.parametrize(
    "use",
    [
        "torchmetrics.functional.accuracy",
        pytest.param("from torchmetrics import *; Accuracy", marks=pytest.mark.slow),
        pytest.param("assert 'Accuracy' in dir(torchmetrics)", marks=pytest.mark.slow),
        pytest.param("import torchmetrics.text", marks=pytest.mark.slow),
        "from torchmetrics.classification import BinaryAccuracy",
    ],
)
def test_torchmetrics_is_complete_when_it_is_used(use):
    program = f"""{START}
{use}
metric = torchmetrics.Accuracy(task="binary")
assert isinstance(metric, module.Metric) and torchmetrics.Metric is module.Metric
assert torchmetrics.MetricCollection is module.MetricCollection
import importlib.util, torch
from torchmetrics.utilities import plot
assert plot.plot_single_or_multi_val.__module__ == "torchmetrics.utilities.plot"
assert hasattr(plot, "plot_confusion_matrix")
assert metric(torch.tensor([1, 0, 1, 1]), torch.tensor([1, 0, 0, 1])) == 0.75
if importlib.util.find_spec("matplotlib") is not None:
    assert len(metric.plot()) == 2  # the figure and its axes
import importlib.metadata
assert torchmetrics.__version__ == importlib.metadata.version("torchmetrics")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_is_imported_already_is_left_as_it_is():
    program = """
import torchmetrics
from lightly_core.engine.lightning_import import import_lightning
before = type(torchmetrics)
import_lightning()
assert type(torchmetrics) is before
import lightning.pytorch
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

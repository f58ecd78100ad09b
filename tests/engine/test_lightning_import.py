"""Lightning is imported without the metrics of torchmetrics, which stays usable."""

import os
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

#: Each is the first use of torchmetrics, so each runs in a process of its own.
USES = (
    "torchmetrics.functional.accuracy",
    "from torchmetrics import *; Accuracy",
    "assert 'Accuracy' in dir(torchmetrics)",
    "import torchmetrics.text",
    "from torchmetrics.classification import BinaryAccuracy",
)
COMPLETE = """
import importlib.metadata
import torch
metric = torchmetrics.Accuracy(task="binary")
assert isinstance(metric, module.Metric) and torchmetrics.Metric is module.Metric
assert torchmetrics.MetricCollection is module.MetricCollection
assert metric(torch.tensor([1, 0, 1, 1]), torch.tensor([1, 0, 0, 1])) == 0.75
assert torchmetrics.__version__ == importlib.metadata.version("torchmetrics")
"""
PLOT = """
import importlib.util
from torchmetrics.utilities import plot
assert plot.plot_single_or_multi_val.__module__ == "torchmetrics.utilities.plot"
assert hasattr(plot, "plot_confusion_matrix")
if importlib.util.find_spec("matplotlib") is not None:
    assert len(torchmetrics.Accuracy(task="binary").plot()) == 2  # the figure and its axes
"""
#: Copies of a process that has imported Lightning, one for each use.
IN_COPIES = """
import os
for use in {uses!r}:
    if os.fork() == 0:
        try:
            exec(use)
        except BaseException:
            import traceback
            print(use, traceback.format_exc(), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.wait()[1] == 0, use
"""


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="copies the process")
def test_torchmetrics_is_complete_when_it_is_used():
    run(START + IN_COPIES.format(uses=[PLOT, *(use + COMPLETE for use in USES)]))


@pytest.mark.slow
def test_nothing_heavy_is_imported():
    run(START)


@pytest.mark.slow
def test_what_is_imported_already_is_left_as_it_is():
    run("""
import torchmetrics
from lightly_core.engine.lightning_import import import_lightning
before = type(torchmetrics)
import_lightning()
assert type(torchmetrics) is before
import lightning.pytorch
""")

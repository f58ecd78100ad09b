import importlib.metadata
import os
import resource
import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "torchvision", "lightning", "pytorch_lightning", "timm", "ultralytics"),
    *("mlflow", "wandb", "numpy", "cv2", "PIL", "sklearn", "tensorboard"),
)
#: Not heavy in that sense, yet each would take a large share of the time there is.
SLOW = ("rich", "cattrs", "pydantic")

LISTS = ["--help", "methods", "models", "plugins", "plugins -v", "models --json"]
HELPS = [
    "run --help",
    "run method=simclr --help",
    "embed --help",
    "plugin --help",
    "plugin check --help",
]

REPORT = """
import sys
from lightly_core.cli.main import main
code = main({arguments!r})
print(code, *(name for name in {names!r} if name in sys.modules), file=sys.stderr)
"""


def needs_simclr(command):
    if "simclr" not in command:
        return
    try:
        importlib.metadata.version("lightly-simclr")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("lightly-simclr is not installed")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Byte code is kept, as in an installation, and nothing narrows the plugins down."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LIGHTLY_", "PYTHON"))}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("pycache"))
    environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    return environment


@pytest.mark.parametrize("command", LISTS + HELPS)
def test_nothing_heavy_is_imported(command, environment):
    needs_simclr(command)
    names = (*HEAVY, *SLOW) if command in LISTS else HEAVY
    result = subprocess.run(
        [sys.executable, "-c", REPORT.format(arguments=command.split(), names=names)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.stderr.splitlines()[-1:] == ["0"], result.stderr


def cpu_seconds(arguments, environment):
    """CPU time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


#: What any command that lists installed plugins needs of the standard library: about 70 ms of a
#: processor on a fast machine, 130 on a slow one.
LIBRARY = (
    "import argparse, dataclasses, importlib.metadata, json, logging, pathlib, re, typing\n"
    "importlib.metadata.entry_points()"
)


@pytest.mark.parametrize("command", LISTS)
def test_a_list_costs_little_more_than_the_standard_library_that_it_needs(command, environment):
    # The least of several runs, one after the other, so that what else the machine does counts
    # little.
    library, cost = [], []
    for _ in range(12):
        library.append(cpu_seconds(["-c", LIBRARY], environment))
        cost.append(cpu_seconds(["-m", "lightly_core.cli", *command.split()], environment))
        if len(cost) >= 3 and min(cost) <= 2.5 * min(library):
            break
    assert min(cost) <= 2.5 * min(library), (cost, library)

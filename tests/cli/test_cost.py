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
    """Least CPU time of several runs, so that what else the machine does counts little."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments], env=environment, check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(times)


@pytest.mark.parametrize("command", LISTS)
def test_a_list_costs_at_most_150_ms_over_bare_python(command, environment):
    bare = cpu_seconds(["-c", "pass"], environment)
    cost = cpu_seconds(["-m", "lightly_core.cli", *command.split()], environment) - bare
    assert cost <= 0.15

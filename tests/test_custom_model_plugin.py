"""The example of a plugin is built, installed and used as somebody outside would do it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lightly_core.exporting.weights import read_weights

EXAMPLE = Path(__file__).parents[1] / "examples/custom_model_plugin"
README = (EXAMPLE / "README.md").read_text()
COMMANDS = re.search(r"```bash\n(.*?)```", README, re.DOTALL).group(1).splitlines()
# The build backend's own entrance (PEP 517), which pip calls too; it needs no network.
BUILD = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the package, and the environment of a process that has it installed."""
    root = tmp_path_factory.mktemp("acme")
    project = root / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    done = subprocess.run(
        [sys.executable, "-c", BUILD, root], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(root / done.stdout.split()[-1]) as wheel:
        wheel.extractall(root / "site")
    # The sources must not be found where the wheel lacks something.
    shutil.rmtree(project / "src")
    path = os.pathsep.join(filter(None, [str(root / "site"), os.environ.get("PYTHONPATH")]))
    return project, {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def call(installed):
    """Run a Python module or code with the package installed."""
    project, environment = installed

    def call(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def lightly(call, *words):
    return call("-m", "lightly_core.cli", *words)


def test_the_readme_has_the_three_commands():
    assert [line.split()[0] for line in COMMANDS] == ["pip", "lightly", "pytest"]


def test_its_models_are_listed(call):
    assert lightly(call, "models", "acme/*").split() == ["acme/tinynet", "acme/tinynet-wide"]


@pytest.mark.slow
def test_it_is_among_the_plugins(call):
    found = lightly(call, "plugins")
    assert re.search(r"acme\b.*acme-lightly-models 1\.0\.0.*loaded", found), found


@pytest.mark.slow
def test_without_it_the_name_is_unknown(tmp_path):
    command = [sys.executable, "-m", "lightly_core.cli", "models", "acme/*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "tinynet" not in done.stdout


@pytest.mark.slow
def test_the_readmes_run_trains_and_its_file_loads(call, tmp_path):
    program, *words = shlex.split(COMMANDS[1])
    assert program == "lightly"
    words = [word for word in words if not word.startswith("out=")]
    # A batch and workers for a small machine; all else is what the README says.
    printed = lightly(call, *words, f"out={tmp_path / 'out'}", "num_workers=0", "accelerator=cpu")
    exported = tmp_path / "out/exported_models/exported_last"
    snippet = printed.split("Load it with:")[1]
    lines = [line for line in snippet.splitlines() if line.startswith("    ")]
    code = "\n".join(line.removeprefix("    ") for line in lines)
    check = "\nfor name, value in model.state_dict().items(): print(name, value.sum().item())"
    sums = dict(line.split() for line in call("-c", code + check).splitlines())

    expected = load_file(exported.with_suffix(".safetensors"))
    assert sums == {name: str(value.sum().item()) for name, value in expected.items()}
    # Its own format starts a new run, too.
    tensors = read_weights(exported.with_suffix(".pt"))
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_its_own_tests_pass(call):
    assert COMMANDS[2] == "pytest"
    assert " passed" in call("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist")

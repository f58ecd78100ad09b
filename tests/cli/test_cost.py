"""Commands that list and help start at once: they import little and read little."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow  # one process calls all commands

LISTS = ["methods", "models", "plugins", "plugins -v", "models --json"]
HELPS = [
    "run --help",
    "runs --help",
    "embed --help",
    "evaluate --help",
    "advise --help",
    "doctor --help",
    "plugin --help",
    "plugin check --help",
]
DESCRIPTIONS = ["methods simclr", "models torchvision/resnet18"]
#: What a press of the Tab key calls.
TABS = [
    "completion next fish run method=simclr method_args.",
    "completion next fish run model=timm/resnet1",
    "completion next zsh benchmark suite.toml run.callbacks.",
]
COMMANDS = ["--help", *LISTS, *HELPS, "run method=simclr --help", *DESCRIPTIONS, *TABS]

#: All that is imported beside the standard library and this project.
LIBRARIES = {"attr", "attrs", "pluggy"}
#: Parts of the standard library that take long to import.
SLOW = {"asyncio", "concurrent", "ctypes", "http", "multiprocessing", "ssl", "unittest", "xml"}
#: Modules of a plugin that are imported to list what it provides.
LIGHT = {"plugin", "models"}

#: Calls each command as if it were the first, and prints what it imports and opens.
REPORT = """
import contextlib, io, json, sys

opened, started = [], []

def listen(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
    elif event.startswith(("subprocess.", "socket.connect", "os.system", "os.posix_spawn")):
        started.append(event)

sys.addaudithook(listen)
reports = {}
for command in json.loads(sys.argv[1]):
    before = set(sys.modules)
    opened.clear(), started.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        from lightly_core.cli.main import main
        code = main(command.split())
    modules = sorted(set(sys.modules) - before)
    files = [file for file in opened if not file.endswith((".py", ".pyc", ".zip"))]
    reports[command] = {"code": code, "modules": modules, "files": files, "started": list(started)}
    for name in modules:
        if name.partition(".")[0] not in sys.stdlib_module_names:
            del sys.modules[name]
print(json.dumps(reports))
"""


@pytest.fixture(scope="module")
def reports():
    """What each command imports and opens, with nothing that narrows the plugins down."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LIGHTLY_")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # only what is read counts
    command = [sys.executable, "-c", REPORT, json.dumps(COMMANDS)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parts(report, package):
    """Names of the modules of a package that were imported, without the package's own."""
    names = (name.partition(".") for name in report["modules"])
    return {rest for root, _, rest in names if root == package and rest}


def test_every_command_ends_well(reports):
    assert {command: report["code"] for command, report in reports.items()} == dict.fromkeys(
        COMMANDS, 0
    )


def test_only_small_libraries_are_imported(reports):
    for command, report in reports.items():
        roots = {name.partition(".")[0] for name in report["modules"]}
        others = roots - sys.stdlib_module_names - LIBRARIES
        assert {name for name in others if not name.startswith("lightly_")} == set(), command
        assert roots & SLOW == set(), command


def test_the_help_of_all_commands_imports_no_plugins(reports):
    modules = {"cli", "cli.main", "cli.parser", "errors", "streams", "terminal", "version"}
    assert parts(reports["--help"], "lightly_core") == modules


def test_lists_import_no_settings_and_only_the_light_modules_of_plugins(reports):
    for command in LISTS:
        rooms = {name.partition(".")[0] for name in parts(reports[command], "lightly_core")}
        assert rooms <= {
            *("cli", "errors", "listing", "notebook", "plugins", "streams", "terminal", "version")
        }, command
        assert {"plugin"} <= modules_of_plugins(reports[command]) <= LIGHT, command


def test_the_help_on_a_method_imports_the_options_of_no_other(reports):
    report = reports["run method=simclr --help"]
    assert "contrastive.simclr_config" in parts(report, "lightly_methods")
    configs = [
        name
        for name in report["modules"]
        if "config" in name and "lightly" in name and not name.startswith("lightly_core.config.")
    ]
    assert configs == ["lightly_core.config", "lightly_methods.contrastive.simclr_config"]


def modules_of_plugins(report):
    """Names of the modules in the packages of plugins, without the packages' own."""
    names = [name.partition(".") for name in report["modules"]]
    plugins = {root for root, _, rest in names if rest == "plugin" and root.startswith("lightly_")}
    return set().union(*(parts(report, plugin) for plugin in plugins))


def test_no_process_is_started_and_no_connection_made(reports):
    assert {command: report["started"] for command, report in reports.items()} == {
        command: [] for command in COMMANDS
    }


def test_help_opens_no_file(reports):
    assert {command: reports[command]["files"] for command in ("--help", *HELPS)} == {
        command: [] for command in ("--help", *HELPS)
    }


def ours_and_required():
    """Distributions of this project, and those that they require."""
    found = {distribution.name for distribution in importlib.metadata.distributions()}
    ours = {name for name in found if name.startswith("lightly-")}
    lines = [line for name in ours for line in importlib.metadata.requires(name) or ()]
    required = {Requirement(line).name for line in lines}
    return {name.replace("-", "_") for name in ours | required}


def test_lists_read_the_metadata_of_plugins_and_of_what_these_require(reports):
    allowed = ours_and_required()
    for command in LISTS:
        times = Counter(reports[command]["files"])
        assert max(times.values()) <= 3, times.most_common(3)
        read = {tuple(Path(file).parts[-2:]) for file in times}
        metadata = {folder.partition("-")[0] for folder, name in read if name == "METADATA"}
        assert metadata <= allowed, command
        names = {name for _, name in read}
        lists = {"models.txt", "facts.csv"}
        assert names <= {"entry_points.txt", "METADATA", "PKG-INFO", *lists}, command

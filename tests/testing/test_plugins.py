import re
import sys
import textwrap

import pytest
from chosen_checks import run_checks

from lightly_core.testing import plugin_checks

CONFIG = """
from attrs import define, field
from lightly_core.config.options.method import MethodConfig

@define(frozen=True, kw_only=True)
class Config(MethodConfig):
    width: int = field(default=8, metadata={"help": "width"})
    sigmas: tuple[float, float] = field(default=(0.1, 2.0), metadata={"help": "pair"})
"""

METHOD = """
from lightly_core.contracts import Method

class Toy(Method):
    def training_step(self, batch, step):
        raise NotImplementedError
"""

PLUGIN = """
from lightly_core import LoggerRecord, MethodRecord, ModelsRecord, TransformRecord, hookimpl

LIGHTLY_API = 2

@hookimpl
def lightly_register(catalog):
    catalog.add(MethodRecord(
        name="toy",
        target="PACKAGE.method:Toy",
        config="PACKAGE.config:Config",
        summary="Does nothing.",
    ))
"""


@pytest.fixture
def make_plugin(tmp_path, monkeypatch):
    """Writes a distribution with one plugin; returns its name."""

    def make(*, plugin=PLUGIN, config=CONFIG, method=METHOD):
        # A name of its own for each test: Python keeps modules by name.
        package = "toy_" + re.sub(r"\W", "_", tmp_path.name)
        files = {
            f"{package}/__init__.py": "",
            f"{package}/plugin.py": plugin.replace("PACKAGE", package),
            f"{package}/config.py": config,
            f"{package}/method.py": method,
            f"{package}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\n"
            "Version: 1.0\n",
            f"{package}-1.0.dist-info/entry_points.txt": f"[lightly.plugins]\n{package} = "
            f"{package}.plugin\n",
        }
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(str(tmp_path))
        return package

    yield make
    for name in [name for name in sys.modules if name.startswith("toy_")]:
        del sys.modules[name]


CODES = ["P1", "P2", "P3", "P4", "P5", "P6"]


@pytest.mark.parametrize("code", CODES)
def test_a_sound_plugin_holds_the_contract(make_plugin, code):
    run_checks(plugin_checks(make_plugin()), code)


COUNTING = "from itertools import count\nNUMBERS = count()\n" + PLUGIN.replace(
    '"toy"', 'f"toy{next(NUMBERS)}"'
)
LOGGER = PLUGIN.replace("catalog.add(MethodRecord(", "catalog.add(LoggerRecord(")
TRANSFORM = PLUGIN.replace("catalog.add(MethodRecord(", "catalog.add(TransformRecord(")
SILENT = PLUGIN.partition("    catalog.add")[0] + "    pass\n"


def library(names):
    """A plugin that lists these models."""
    return PLUGIN.replace("catalog.add(MethodRecord(", "catalog.add(ModelsRecord(").replace(
        'config="PACKAGE.config:Config"', f"names={names}"
    )


# A subclass of a frozen class is frozen, so this is not a MethodConfig.
THAWED = CONFIG.replace("frozen=True, ", "").replace("(MethodConfig)", "")

FAULTS = [
    ("P1", {"plugin": "import no_such_module"}, "is failed: .*no_such_module"),
    ("P1", {"plugin": PLUGIN.replace("LIGHTLY_API = 2", "LIGHTLY_API = 99")}, "incompatible"),
    ("P1", {"plugin": SILENT}, "registers nothing"),
    ("P2", {"plugin": "import numpy\n" + PLUGIN}, r"imports \['numpy'\]"),
    ("P2", {"config": "import torch\n" + CONFIG}, r"imports \['torch"),
    ("P3", {"plugin": COUNTING}, "registering again changed"),
    ("P4", {"method": "class Toy: pass"}, "expected a subclass of Method"),
    (
        "P4",
        {"method": "from lightly_core.contracts import Method as Toy"},
        "lies in 'lightly_core'",
    ),
    ("P4", {"plugin": PLUGIN.replace("PACKAGE.method:Toy", "PACKAGE.method:Gone")}, "no 'Gone'"),
    ("P5", {"plugin": PLUGIN.replace("nothing.", "nothing.\\nTruly.")}, "expected one line"),
    ("P5", {"plugin": library(())}, "lists no model"),
    ("P5", {"plugin": library(("a", "b", "a"))}, "lists a model twice"),
    ("P6", {"config": CONFIG.replace('metadata={"help": "width"}', "")}, r"Config\.width"),
    ("P6", {"plugin": LOGGER, "config": THAWED}, "is not frozen"),
    ("P6", {"config": "class Config: pass"}, "not an attrs class"),
    ("P6", {"config": CONFIG.replace("(MethodConfig)", "")}, "not a MethodConfig"),
    ("P6", {"plugin": TRANSFORM}, "not a TransformArgs"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "files", "message"), FAULTS)
def test_check_finds_the_fault(make_plugin, code, files, message):
    plugin = make_plugin(**files)
    with pytest.raises(Exception, match=message):
        run_checks(plugin_checks(plugin), code)


def test_every_check_is_shown_to_find_a_fault():
    assert {code for code, _, _ in FAULTS} == set(CODES)
    assert [check.code for check in plugin_checks("any")] == CODES


def test_a_plugin_that_is_not_installed_is_named():
    with pytest.raises(AssertionError, match="no plugin 'absent' is installed"):
        run_checks(plugin_checks("absent"), "P1")


def test_two_plugins_of_one_name_are_an_error(make_plugin, tmp_path):
    name = make_plugin()
    (tmp_path / "other-1.0.dist-info").mkdir()
    (tmp_path / "other-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
    )
    entry = (tmp_path / f"{name}-1.0.dist-info/entry_points.txt").read_text()
    (tmp_path / "other-1.0.dist-info/entry_points.txt").write_text(entry)
    with pytest.raises(AssertionError, match=f"2 plugins are called '{name}'"):
        run_checks(plugin_checks(name), "P1")

"""The tools of the sessions `wheels` and `minimal` notice what they are there for."""

import importlib.util
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.records import KINDS

TOOLS = Path(__file__).parents[1] / "tools"
VERSIONS = runpy.run_path(str(TOOLS / "versions.py"))
WHEELS = runpy.run_path(str(TOOLS / "try_wheels.py"))


def test_the_lower_bound_is_the_highest_of_all_that_require_a_package():
    lines = ["torch>=2.4,<4", "torch>=2.10", "torch!=2.99", "timm==1.0.*", "rich"]
    bounds = VERSIONS["lower_bounds"](map(Requirement, lines))
    assert bounds == {"torch": Version("2.10"), "timm": Version("1.0"), "rich": None}


@pytest.mark.parametrize(
    ("bound", "installed", "fine"),
    [
        ("2.4", "2.4.0", True),
        ("2.4", "2.4.0+cu121", True),
        ("2.4", "2.4.1", False),
        ("2.4", "2.10.0", False),
        (None, "2.4.0", False),
        ("2.4", None, False),
    ],
)
def test_only_the_lower_bound_itself_is_the_lowest_version(bound, installed, fine):
    bound = None if bound is None else Version(bound)
    text = VERSIONS["problem"]("torch", bound, installed, lowest=True)
    assert (text == "") == fine


def test_without_lowest_every_installed_version_is_fine():
    assert VERSIONS["problem"]("torch", Version("2.4"), "2.10.0", lowest=False) == ""
    assert VERSIONS["problem"]("torch", Version("2.4"), None, lowest=False)


def test_the_requirements_of_the_core_are_found():
    own = {distribution.metadata["Name"]: distribution for distribution in VERSIONS["ours"]()}
    names = {requirement.name for requirement in VERSIONS["required"](own["lightly-core"])}
    assert {"torch", "attrs", "matplotlib", "pyarrow"} <= names  # the last two are of extras
    assert "timm" not in names


def test_plugins_name_the_bounds_of_the_project_files():
    # `requires` of a record is checked when the plugin is used, the files when it is installed.
    root = TOOLS.parent
    files = [root / "pyproject.toml", *root.glob("plugins/*/pyproject.toml")]
    projects = [read_toml(file)["project"] for file in files]
    declared = {
        str(Requirement(line))
        for project in projects
        for lines in (project["dependencies"], *project.get("optional-dependencies", {}).values())
        for line in lines
    }
    catalog = get_plugins().catalog
    named = {
        text: record.label
        for kind in KINDS
        for record in catalog.records(kind)
        for text in record.requires
    }
    assert {"torchvision", "ultralytics"} <= {Requirement(text).name for text in named}
    assert {text: label for text, label in named.items() if text not in declared} == {}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in a source folder and the same installed."""
    for folder in (tmp_path / "source/acme", tmp_path / "site/acme"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "names.txt").write_text("one\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return tmp_path


def package_problems(package, site="site"):
    return list(WHEELS["package_problems"](package / "source/acme", package / site))


def test_a_package_that_is_installed_as_its_source_is_has_no_problem(package):
    (package / "source/acme/__pycache__").mkdir()
    (package / "source/acme/__pycache__/a.pyc").touch()
    assert package_problems(package) == []


def test_a_data_file_that_the_wheel_lacks_is_named(package):
    (package / "site/acme/names.txt").unlink()
    (problem,) = package_problems(package)
    assert "without names.txt" in problem


def test_a_file_of_an_older_wheel_is_named(package):
    (package / "source/acme/names.txt").write_text("two\n")
    (problem,) = package_problems(package)
    assert "a different names.txt" in problem


def test_a_package_that_is_not_in_site_packages_is_named(package):
    (problem,) = package_problems(package, site="elsewhere")
    assert str(package / "site/acme") in problem


def test_a_package_that_is_not_installed_is_named(tmp_path):
    problems = WHEELS["package_problems"](tmp_path / "acme_that_is_missing", tmp_path)
    assert list(problems) == ["acme_that_is_missing is not installed"]


def plugins_with(record):
    """The plugins that add a record of this kind."""
    files = (TOOLS.parent / "plugins").glob("*/src/*/plugin.py")
    return {file.parents[2].name for file in files if record in file.read_text()}


def test_every_source_package_is_found():
    plugins = list((TOOLS.parent / "plugins").glob("*/pyproject.toml"))
    assert len(WHEELS["packages"]()) == 1 + len(plugins)


def test_every_model_library_logger_source_of_data_and_launcher_is_tried():
    assert plugins_with("ModelsRecord") == set(WHEELS["RUNS"])
    assert plugins_with("LoggerRecord") == set(WHEELS["LOGGERS"])
    assert plugins_with("SourceRecord") == set(WHEELS["SOURCES"].values())
    assert plugins_with("LauncherRecord") == set(WHEELS["LAUNCHERS"])


def test_every_package_says_that_it_has_types():
    # Without the file a type checker takes everything of an installed package as `Any`.
    assert [path.name for path in WHEELS["packages"]() if not (path / "py.typed").is_file()] == []

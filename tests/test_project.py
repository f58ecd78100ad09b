"""What holds for the repository as a project: one version, complete releases, pages that exist."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from syntax import nodes_of

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.version import __version__

ROOT = Path(__file__).parents[1]
CORE = ROOT / "lightly_core"
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
EXAMPLE = ROOT / "examples/custom_model_plugin/pyproject.toml"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
RELEASE = runpy.run_path(str(ROOT / "tools/check_release.py"))
SET_VERSION = runpy.run_path(str(ROOT / "tools/set_version.py"))


def nox_sessions():
    for node in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body:
        for decorator in getattr(node, "decorator_list", ()):
            text = ast.unparse(decorator)
            if text.startswith("nox.session"):
                name = re.search(r"name='([^']+)'", text)
                yield name[1] if name else node.name


# ---------------------------------------------------------------------------- one version


def test_every_distribution_takes_its_version_from_the_one_file():
    for project in PROJECTS:
        content = read_toml(project)
        assert "version" not in content["project"], project
        assert content["project"]["dynamic"] == ["version"], project
        path = content["tool"]["hatch"]["version"]["path"]
        assert (project.parent / path).resolve() == CORE / "version.py", project


def test_the_core_imports_its_version_from_below():
    # The package's own __init__ stands above all modules.
    for file in CORE.rglob("*.py"):
        for node in nodes_of(file):
            if isinstance(node, ast.ImportFrom) and node.module == "lightly_core":
                for alias in node.names:
                    assert alias.name != "__version__", file


def test_distributions_require_each_other_in_the_series_of_this_version():
    major, minor = Version(__version__).release[:2]
    series = f">={major}.{minor},<{major}.{minor + 1}"
    names = set(RELEASE["distribution_names"]())
    found = 0
    for project in [*PROJECTS, EXAMPLE]:
        for line in read_toml(project)["project"]["dependencies"]:
            requirement = Requirement(line)
            if requirement.name in names:
                assert requirement.specifier == Requirement(f"x{series}").specifier, project
                found += 1
    assert found >= len(PROJECTS)


def build(folder, function, target):
    code = f"import sys, hatchling.build; print(hatchling.build.build_{function}(sys.argv[1]))"
    command = [sys.executable, "-c", code, target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.mark.slow
def test_a_plugins_source_archive_has_the_version_outside_of_the_repository(tmp_path):
    archive = build(ROOT / "plugins/torchvision", "sdist", tmp_path)
    name = f"lightly_torchvision-{__version__}"
    assert archive.name == f"{name}.tar.gz"
    shutil.unpack_archive(archive, tmp_path)
    assert build(tmp_path / name, "wheel", tmp_path).name == f"{name}-py3-none-any.whl"


@pytest.mark.slow
def test_the_wheel_of_the_core_has_the_measured_runs_and_all_other_data(tmp_path):
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path)) as wheel:
        packed = set(wheel.namelist())
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "lightly_core"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    data = {name for name in done.stdout.split("\0") if name and not name.endswith(".py")}
    assert {f"lightly_core/advising/first-hour{end}.csv" for end in ("", "-cases")} <= data
    assert data <= packed


# ---------------------------------------------------------------------------- the release


@pytest.fixture
def release(tmp_path):
    """A repository of the core and one plugin, and its archives."""
    (tmp_path / "lightly_core").mkdir()
    (tmp_path / "lightly_core/version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 - 2030-01-02\n")
    (tmp_path / "plugins/acme").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "lightly-core"\n')
    (tmp_path / "plugins/acme/pyproject.toml").write_text('[project]\nname = "lightly-acme"\n')
    (tmp_path / "dist").mkdir()
    for name in ("lightly_core", "lightly_acme"):
        for ending in ("-py3-none-any.whl", ".tar.gz"):
            (tmp_path / "dist" / f"{name}-1.2.3{ending}").touch()
    return tmp_path


def problems(root, tag="v1.2.3"):
    return list(RELEASE["problems"](tag, root / "dist", root))


def test_a_complete_release_has_no_problem(release):
    assert problems(release) == []


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2.3rc1"])
def test_a_tag_that_is_not_the_version_is_refused(release, tag):
    (problem,) = problems(release, tag)
    assert tag in problem
    assert "1.2.3" in problem


@pytest.mark.parametrize("heading", ["## Unreleased", "## 1.2.30 - 2030-01-02"])
def test_a_version_without_a_section_in_the_changelog_is_refused(release, heading):
    (release / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    (problem,) = problems(release)
    assert "CHANGELOG.md" in problem


def test_archives_that_are_missing_or_of_another_version_are_named(release):
    (release / "dist/lightly_acme-1.2.3.tar.gz").rename(release / "dist/lightly_acme-1.2.2.tar.gz")
    missing, other = problems(release)
    assert "no lightly_acme-1.2.3.tar.gz" in missing
    assert "lightly_acme-1.2.2.tar.gz" in other


def test_the_release_has_the_core_and_every_plugin():
    names = RELEASE["distribution_names"]()
    folders = [path for path in (ROOT / "plugins").glob("[a-z]*") if path.is_dir()]
    assert len(names) == len(PROJECTS) == len(folders) + 1
    assert names[0] == "lightly-core"


def test_the_release_checks_tests_and_compares_before_it_publishes():
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    jobs = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", text, re.MULTILINE))
    assert "needs: [checks, tests, build]" in jobs["publish"]
    assert "tools/check_release.py" in jobs["build"]
    others = [name for name, body in jobs.items() if "id-token: write" in body]
    assert others == ["publish"]


# ---------------------------------------------------------------------------- pages and workflows


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"])
def test_the_readme_links_to_the_projects_pages(page):
    assert f"]({page})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / page).is_file()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_path_on_a_page_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`(\.?[a-z_]+(?:/\w[\w.-]*)+/?|[\w.-]+\.(?:md|py|toml|txt|cff))`", text)
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    in_commands = re.findall(r"(?<![\w/])(?:plugins|tests|examples)/[\w./-]+", text)
    known = {"plugin.py", "config.py", "release.yml"}  # files of that name are in several folders
    paths = {*named, *linked, *in_commands} - known
    assert paths
    assert sorted(path for path in paths if not (ROOT / path.rstrip("/.")).exists()) == []


@pytest.mark.parametrize("file", [CONTRIBUTING, *WORKFLOWS], ids=lambda file: file.name)
def test_every_session_that_is_named_exists(file):
    text = file.read_text(encoding="utf-8")
    lines = re.findall(r"nox -s ([a-z-]+(?: [a-z][a-z-]*)*)", text)
    named = {word for line in lines for word in line.split()}
    for row in re.findall(r"session: \[([^\]]+)\]", text):
        named |= {entry.strip('"').split()[0] for entry in row.split(", ")}
    assert named or "nox" not in text
    assert sorted(named - set(nox_sessions())) == []


def test_contributing_names_every_session():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert [name for name in nox_sessions() if f"`nox -s {name}`" not in text] == []


def test_continuous_integration_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = [line for line in readme.splitlines() if line.endswith("nox -s tests")]
    workflow = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    assert f"run: {command}\n" in workflow
    for system in ("ubuntu-latest", "macos-latest", "windows-latest"):
        assert f"os: {system}\n" in workflow


def test_workflows_get_no_more_than_reading_by_default():
    for file in WORKFLOWS:
        text = file.read_text(encoding="utf-8")
        assert re.search(r"^permissions:( \{\}|\n  contents: read)\n", text, re.MULTILINE), (
            file.name
        )


def test_commits_and_continuous_integration_use_the_same_ruff():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    (bound,) = set(re.findall(r'"(ruff[^"]+)"', noxfile) + re.findall(r'"(ruff[^"]+)"', hooks))
    assert bound.startswith("ruff>=")


# ---------------------------------------------------------------------------- all plugins at once


def test_the_extra_all_has_every_plugin_in_the_series_of_this_version():
    extra = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]["all"]
    found = {requirement.name: requirement for requirement in map(Requirement, extra)}
    assert list(found) == RELEASE["distribution_names"]()[1:]
    for requirement in found.values():
        assert requirement.specifier.contains(__version__), requirement


def wheel(folder, name, version, *requirements):
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requirements)]
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")


def test_wheels_that_do_not_fit_each_other_are_named(release):
    folder = release / "dist"
    wheel(folder, "lightly-core", "1.2.3", "torch>=2", "lightly-acme<1.3,>=1.2; extra == 'all'")
    wheel(folder, "lightly-acme", "1.2.3", "lightly-core<1.3,>=1.2")
    assert list(RELEASE["metadata_problems"](folder, release)) == []
    wheel(folder, "lightly-core", "1.2.3", "torch>=2")
    wheel(folder, "lightly-acme", "1.2.3", "lightly-core<1.2,>=1.1")
    old, lacking = RELEASE["metadata_problems"](folder, release)
    assert "requires lightly-core<1.2,>=1.1, which 1.2.3 does not meet" in old
    assert lacking == "lightly-core[all] lacks lightly-acme"


def test_a_new_version_changes_every_file_that_names_it(tmp_path):
    projects = [str(project.relative_to(ROOT)) for project in PROJECTS]
    names = ["lightly_core/version.py", "CHANGELOG.md", *projects]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for path, text in SET_VERSION["changed_files"]("7.8.9", "2030-01-02", tmp_path):
        path.write_text(text, encoding="utf-8")
    assert '__version__ = "7.8.9"' in (tmp_path / "lightly_core/version.py").read_text()
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    assert changelog.index("## Unreleased\n") < changelog.index("## 7.8.9 - 2030-01-02\n")
    for name in names[2:]:
        content = read_toml(tmp_path / name)["project"]
        extras = content.get("optional-dependencies", {})
        lines = [*content["dependencies"], *(line for lines in extras.values() for line in lines)]
        for requirement in map(Requirement, lines):
            if requirement.name in RELEASE["distribution_names"]():
                assert str(requirement.specifier) == "<7.9,>=7.8", name


@pytest.mark.parametrize("version", ["v1.2.3", "1.2", "1.2.3rc1", ""])
def test_a_version_of_another_form_is_refused(version):
    with pytest.raises(ValueError, match=r"such as 0\.2\.0"):
        list(SET_VERSION["changed_files"](version, None))


# ---------------------------------------------------------------------------- the container file


CONTAINER = (ROOT / "Containerfile").read_text(encoding="utf-8")


def test_the_container_file_copies_what_exists_and_what_is_not_ignored():
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINER, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / source).exists() for source in copied)


def test_the_container_runs_as_a_user_without_rights():
    final = CONTAINER.rpartition("\nFROM ")[2]
    assert re.search(r"^USER lightly$", final, re.MULTILINE)
    assert final.index("USER lightly") < final.index("ENTRYPOINT")
    assert "useradd" in final


def test_the_container_file_names_extras_that_exist():
    extras = re.search(r'"\.\[([a-z,]+)\]"', CONTAINER)[1].split(",")
    known = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    assert set(extras) <= set(known)
    assert "ARG TORCH_BACKEND=cpu" in CONTAINER

"""All chores: `nox -l` lists them. Each has an environment of its own, but the three circles."""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"  # sessions that require others
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True

CODE = (
    *("lightly_core", "plugins", "tests", "examples", "tools", "parity", "benchmarks"),
    *("conftest.py", "noxfile.py"),
)
PLUGINS = sorted(path.name for path in Path("plugins").iterdir() if path.is_dir())
TEST_TOOLS = (
    # Lower bounds that allow those of our packages, for the session `minimal`.
    *("pytest>=8", "pytest-xdist>=3.5", "import-linter>=2"),
    *("moto[server]>=5.0.8", "s3fs>=2024.2"),  # a bucket on this machine
    "hatchling>=1.26.1",  # builds the example plugin without a network; 1.26.0 is yanked
)
#: It opens reports and the documentation site in Chromium.
BROWSER = "selenium>=4.20"
#: They build the documentation site.
SITE_TOOLS = (
    *("sphinx>=8.1", "myst-parser>=4.0", "furo>=2024.8.6"),
    *("sphinx-design>=0.6.1", "sphinx-copybutton>=0.5.2"),
)
#: They run the notebook of the examples.
NOTEBOOK_TOOLS = ("nbclient>=0.10", "ipykernel>=6.29")
ENVIRONMENT = {
    # One thread a worker: torch's own threads would only fight over the cores.
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Tests start many processes. Each would compile torch anew for ten seconds.
    "PYTHONDONTWRITEBYTECODE": "",
}


def folders_of(plugin: str) -> list[str]:
    """The folders of a plugin and of those plugins that it requires."""
    text = Path(f"plugins/{plugin}/pyproject.toml").read_text()
    required = [name for name in PLUGINS if name != plugin and f'"lightly-{name}>=' in text]
    return [f"plugins/{plugin}", *(folder for name in required for folder in folders_of(name))]


def install(session: nox.Session, *tools: str) -> None:
    session.install("-r", "requirements.txt", *tools)


#: Tests of each circle, by their markers, which pyproject.toml explains.
CIRCLES = {
    "tests": "not (slow or families or processes or exhaustive or gpu)",
    "slow": "(slow or families or processes) and not (exhaustive or gpu)",
    "exhaustive": "exhaustive and not gpu",
}


def run_pytest(
    session: nox.Session, marker: str, *options: str, codes: Sequence[int] = (0,)
) -> None:
    """Run the tests that have a marker, in two processes."""
    command = ("pytest", "-n", "2", "--dist", "worksteal", "-m", marker, "--durations=15")
    session.run(*command, *options, env=ENVIRONMENT, success_codes=codes)


@nox.session
def tests(session: nox.Session) -> None:
    """First circle: every room in seconds, without model families.

    With ``--changed`` it runs those tests that a change touches. What a test touches is recorded by
    testmon, at the first run and then at each run. It sees Python code that runs in the tests' own
    process, and no other files. ``--circle=NAME`` is for the sessions of the other circles.
    """
    circle, chosen = "tests", []
    for option in session.posargs:
        if option.startswith("--circle="):
            circle = option.partition("=")[2]
        else:
            chosen.append(option)
    tools, codes = (*TEST_TOOLS, *(NOTEBOOK_TOOLS if circle != "tests" else ())), [0]
    if "--changed" in chosen:
        chosen.remove("--changed")
        chosen += ["--testmon", "--testmon-forceselect"]  # in spite of -m
        tools, codes = (*tools, "pytest-testmon>=2.2"), [0, 5]  # 5: the change touches no test
    install(session, *tools)
    run_pytest(session, CIRCLES[circle], *chosen, codes=codes)


def run_circle(session: nox.Session) -> None:
    """Run the circle of a session's name in the environment of the first circle."""
    words = ("-s", "tests", "--", f"--circle={session.name}", *session.posargs)
    session.run(sys.executable, "-m", "nox", *words)


@nox.session(venv_backend="none")
def slow(session: nox.Session) -> None:
    """Second circle: model families, several processes, a notebook, whether methods learn."""
    run_circle(session)


@nox.session(venv_backend="none", default=False)
def exhaustive(session: nox.Session) -> None:
    """What the second circle runs for some methods, models and pages, for all others."""
    run_circle(session)


@nox.session(name="all", default=False)
def all_(session: nox.Session) -> None:
    """Third circle: everything, with lint, types and docs."""
    for name in ("lint", "types", "tests", "slow", "exhaustive"):
        session.notify(name)
    session.notify("docs", ["--check"])


@nox.session
def gpu(session: nox.Session) -> None:
    """The tests on a CUDA device; elsewhere they are skipped."""
    install(session, *TEST_TOOLS)
    session.run("pytest", "-n", "4", "-m", "gpu", *session.posargs, env=ENVIRONMENT)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format of the code; workflows, issue forms and citation by their schemas."""
    session.install("ruff>=0.12", "check-jsonschema>=0.36", "zizmor>=1.10")
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    files = {
        "vendor.github-workflows": ".github/workflows/*.yml",
        "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
        "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/*_*.yml",
        "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
        "vendor.dependabot": ".github/dependabot.yml",
        "vendor.citation-file-format": "CITATION.cff",
    }
    for schema, pattern in files.items():
        found = sorted(map(str, Path().glob(pattern)))
        session.run("check-jsonschema", "--builtin-schema", schema, *found)
    # Permissions that are too wide, untrusted text in a shell, tokens that are left behind.
    session.run("zizmor", "--quiet", "--offline", "--min-severity", "medium", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    install(session, "mypy>=1.15", "pytest", "types-setuptools")
    session.run("mypy", "lightly_core", *(f"plugins/{name}/src" for name in PLUGINS))


@nox.session
@nox.parametrize("plugin", PLUGINS)
def contract(session: nox.Session, plugin: str) -> None:
    """The tests of one plugin, installed with the core and the plugins that it requires alone."""
    editable = [argument for folder in folders_of(plugin) for argument in ("-e", folder)]
    session.install("-e", ".", *editable, "pytest")
    session.run("pytest", "-m", "not slow", f"plugins/{plugin}/tests", env=ENVIRONMENT)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the generated pages anew; with ``-- --check`` only say which are out of date."""
    install(session)
    session.run("python", "-m", "lightly_core.config.docs", *session.posargs)


@nox.session(default=False)
def exports(session: nox.Session) -> None:
    """Load each library's models in each export format without our packages; write the table."""
    install(session)
    session.run("python", "tools/export_table.py", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def parity(session: nox.Session) -> None:
    """Compare every method with a reference and write the page; ``-- --check`` only looks."""
    install(session, "lightly==1.6.0")
    session.run("python", "-m", "parity", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure speed side by side with peers and write the page; ``-- --only WORD`` prints rows."""
    install(session, "opencv-python-headless>=4.9.0.80")
    peers = session.cache_dir / "peers"
    if not peers.exists():
        session.run("uv", "venv", "-q", str(peers), external=True)
    python = str(peers / "bin" / "python")
    session.run("uv", "pip", "install", "-q", "-p", python, "lightly-train==0.18.0", external=True)
    chosen = session.posargs or ["--write"]
    places = ("--peer-python", python, "--before", str(session.cache_dir / "before"))
    session.run("python", "-m", "benchmarks", *places, *chosen, env=ENVIRONMENT)


@nox.session
def mutants(session: nox.Session) -> None:
    """The fraction of small changes to the product that the tests catch, by room."""
    install(session, *TEST_TOOLS, "cosmic-ray>=8.7", "pytest-cov>=5", "coverage>=7.6")
    folder = session.cache_dir / "mutants"
    session.run("python", "-m", "tools.mutants", "--folder", str(folder), *session.posargs)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Kills, signals, full disks, damage, runs at once, a long run; ``-- --minutes 30``: more."""
    install(session)
    session.run("python", "-m", "tools.faults", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def scale(session: nox.Session) -> None:
    """Runs of many processes, large folders, suites, sources; ``-- --only WORD``: some of them."""
    install(session, "ray>=2.44")
    session.run("python", "-m", "tools.scale", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def loggers(session: nox.Session) -> None:
    """Send runs to a real MLflow server that is killed, hangs, fails and is started again."""
    install(session, "mlflow>=3.1", "pandas>=2.1")
    session.run("python", "-m", "tools.loggers", *session.posargs, env=ENVIRONMENT)


@nox.session
def hostile(session: nox.Session) -> None:
    """Read 1,500 odd, broken and hostile files; train on them, embed and evaluate them."""
    install(session)
    session.run("python", "-m", "tools.hostile", *session.posargs, env=ENVIRONMENT)


def has_chromium(session: nox.Session) -> bool:
    """Install Chromium and its driver by apt-get if needed; return whether they are there."""
    if not shutil.which("chromedriver") and shutil.which("apt-get"):
        for words in (("update",), ("install", "-y", "-qq", "chromium", "chromium-driver")):
            codes = range(256)  # it may fail without the rights
            session.run("apt-get", *words, external=True, silent=True, success_codes=codes)
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


@nox.session(default=False)
def report(session: nox.Session) -> None:
    """Open reports in headless Chromium: charts, hover, zoom, keys, contrast, 400 px, requests."""
    if not has_chromium(session):
        session.skip("chromium and chromedriver are not there, and apt-get cannot install them")
    install(session, BROWSER)
    session.run("python", "-m", "tools.report", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def site(session: nox.Session) -> None:
    """Build the documentation site; check links, search and looks (``-- --no-browser``: not)."""
    arguments = list(session.posargs)
    if "--no-browser" not in arguments and not has_chromium(session):
        session.warn("without chromium and chromedriver, the pages are not opened")
        arguments.append("--no-browser")
    install(session, BROWSER, *SITE_TOOLS)
    folder = str(session.cache_dir / "site")
    session.run("python", "-m", "tools.site", "--out", folder, *arguments, env=ENVIRONMENT)


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and source archives of all distributions, into `dist/`, as PyPI accepts them."""
    session.install("build[uv]", "twine>=6.1", "readme-renderer[md]>=44")
    shutil.rmtree("dist", ignore_errors=True)  # archives of an earlier version stay otherwise
    for folder in (".", *(f"plugins/{name}" for name in PLUGINS)):
        session.run("python", "-m", "build", "--installer", "uv", "--outdir", "dist", folder)
    session.run("twine", "check", "--strict", *sorted(map(str, Path("dist").iterdir())))


@nox.session(requires=["build"], reuse_venv=False)
def wheels(session: nox.Session) -> None:
    """Install the wheels into a new environment, away from the source, and train with them."""
    tools = Path("tools").resolve()
    extras = {
        "lightly_core": (
            "[all,benchmark,dicom,faiss,fsspec,heif,huggingface,onnx,opencv,optuna,parquet,tiff,video]"
        ),
        "lightly_mlflow": "[model,system]",
        "lightly_ray": "[ray]",
    }
    found = {path.name.split("-")[0]: path.resolve() for path in Path("dist").glob("*.whl")}
    addresses = [f"{name}{extras.get(name, '')} @ {found[name].as_uri()}" for name in sorted(found)]
    session.install(*addresses)
    folder = Path(session.create_tmp())
    shutil.rmtree(folder)  # nox keeps what an earlier session left
    folder.mkdir()
    session.cd(folder)
    # Ultralytics writes its settings where it is imported, and not into the user's folder here. Ray
    # takes no folder inside of the environment, as the temporary one of a session is.
    places = {"YOLO_CONFIG_DIR": str(Path.cwd()), "RAY_TMPDIR": tempfile.gettempdir()}
    environment = {**ENVIRONMENT, "PYTHONPATH": "", **places}
    session.run("python", str(tools / "versions.py"), env=environment)
    session.run("python", str(tools / "try_wheels.py"), env=environment)


@nox.session(default=False)
def scaffold(session: nox.Session) -> None:
    """Write a plugin of each kind, install it, not editable, and run its tests and its checks."""
    install(session, *TEST_TOOLS, "ruff>=0.12")
    folder = Path(session.create_tmp())
    kinds = ("method", "models", "transform", "logger", "export")
    for kind in kinds:
        target = folder / kind
        shutil.rmtree(target, ignore_errors=True)
        words = ("plugin", "new", f"my-{kind}", "--kind", kind, "--out", str(target))
        session.run("lightly", *words, silent=True)
        session.run("ruff", "check", "--isolated", "--select", "E,F,B,UP", str(target), silent=True)
        session.run("ruff", "format", "--isolated", "--line-length", "100", "--check", str(target))
    session.install(*(str(folder / kind) for kind in kinds))
    session.cd(folder)
    for kind in kinds:
        session.run("pytest", "-q", kind, env=ENVIRONMENT)
        session.run("lightly", "plugin", "check", f"my-{kind}", env=ENVIRONMENT)


@nox.session(venv_backend="uv")
def minimal(session: nox.Session) -> None:
    """Tests with the lowest versions that are allowed; ``-P 3.10`` for the lowest Python."""
    lowest = ("--resolution", "lowest-direct")
    # Extras that requirements.txt leaves out.
    folders = (".[faiss,opencv]", "plugins/mlflow[model,system]", "plugins/ray[ray]")
    extras = (argument for folder in folders for argument in ("-e", folder))
    install(session, *TEST_TOOLS, *extras, *lowest)
    # Ultralytics brings opencv-python, whose files are at the same place.
    headless = ("--reinstall-package", "opencv-python-headless")
    session.install("-e", ".[opencv]", *headless, *lowest)
    session.run("python", "tools/versions.py", "--lowest")
    # Model families too: their libraries' versions are what matters. It upgrades nothing.
    run_pytest(session, "not (slow or processes or gpu)", *session.posargs)

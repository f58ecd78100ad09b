"""A row that is forked from a server is like a row of a new interpreter."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
from circles import mark_others

from lightly_core.benchmarking import forking, state
from lightly_core.benchmarking.forking import RowServer, modules_of
from lightly_core.benchmarking.local import LocalLauncher
from lightly_core.benchmarking.process import Presses, row_command, start_process
from lightly_core.config.options.launchers import LocalArgs
from lightly_core.contracts import RowJob, SuiteInfo
from lightly_core.engine.lock import held

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rows are forked on Linux only")

#: Imported by every interpreter that is started; it acts when a row loads its plugins.
HOOK = """
import os, sys
from lightly_core.plugins import discovery

def act(block):
{body}

discovery.configure = act
"""

#: What a row may depend on, written to a file.
FACTS = """
import hashlib, json, locale, resource, signal, threading, warnings
import __main__
if "torch" in block:
    import lightly_core.engine.run
    import torch, numpy
facts = dict(
    environment=dict(os.environ), place=os.getcwd(), path=sys.path, arguments=sys.argv,
    main=[__main__.__spec__.name, __main__.__file__], flags=str(sys.flags),
    session=os.getsid(0) == os.getpid(), group=os.getpgid(0) == os.getpid(),
    mask=[int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    handlers=[str(signal.getsignal(n)).split(" at ")[0] for n in range(1, 32)],
    streams=[os.readlink(f"/proc/self/fd/{n}") for n in range(3)],
    encodings=[s.encoding + s.errors + str(s.write_through) for s in (sys.stdout, sys.stderr)],
    open=sorted(int(n) for n in os.listdir("/proc/self/fd"))[3:-1],
    umask=os.umask(0o22), limits=[resource.getrlimit(n) for n in range(9)],
    locale=locale.setlocale(locale.LC_ALL), threads=threading.active_count(),
    warnings=[str(f) for f in warnings.filters], switch=sys.getswitchinterval(),
)
if "torch" in block:
    digest = lambda value: hashlib.sha256(repr(value).encode()).hexdigest()
    facts["torch"] = dict(
        fixed=torch.initial_seed() == 67280421310721, threads=torch.get_num_threads(),
        more=torch.get_num_interop_threads(), dtype=str(torch.get_default_dtype()),
        precision=torch.get_float32_matmul_precision(),
        flags=[torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark,
               torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()],
        sharing=torch.multiprocessing.get_sharing_strategy(),
        start=torch.multiprocessing.get_start_method(),
        cuda=torch.cuda.is_initialized(), errors=str(numpy.geterr()),
        product=digest(torch.arange(9e4).sin().view(300, 300).matrix_power(3).tolist()),
    )
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
"""


@pytest.fixture
def hooked(tmp_path, monkeypatch):
    """Let code run in each interpreter started from now on when a row loads its plugins."""

    def write(body):
        folder = tmp_path / "hook"
        folder.mkdir(exist_ok=True)
        text = HOOK.format(body=textwrap.indent(body, "    "))
        (folder / "sitecustomize.py").write_text(text)
        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    return write


@pytest.fixture
def make_job(tmp_path):
    """Write the job of a row that is trained already, so that it needs no torch."""

    def make(name="row", blocked=()):
        folder = state.RowFolder(tmp_path / name)
        folder.root.mkdir()
        state.write(folder.settings, {"name": name, "settings": {}})
        state.write(folder.trained, {})
        job = {"folder": str(folder.root), "blocked_plugins": list(blocked)}
        state.write(folder.job, {**job, "run": {}, "evaluate": None})
        return folder

    return make


@pytest.fixture
def serve():
    """Start a server with modules; all are ended after the test."""
    started = []

    def start(*modules):
        started.append(RowServer(modules))
        return started[-1]

    yield start
    for server in started:
        server.close()


def run(server, folder):
    row = server.fork(folder.job, folder.log)
    assert row is not None
    return row.wait(60)


@pytest.mark.slow
def test_rows_are_run_one_after_another(serve, make_job):
    server = serve()
    for name in ("one", "two"):
        folder = make_job(name)
        assert run(server, folder) == 0
        assert state.read(folder.result)["trained"] == {}


@pytest.mark.slow
def test_a_row_that_fails_writes_its_error_and_its_log(serve, make_job):
    server, folder = serve(), make_job()
    with held(folder.root):
        assert run(server, folder) == 1
    assert "in use by another process" in state.read(folder.failure)["error"]
    assert "in use by another process" in folder.log.read_text()


@pytest.mark.slow
def test_a_row_that_crashes_ends_alone(serve, make_job, hooked):
    hooked('os.kill(os.getpid(), 11) if "crash" in block else None\nos._exit(7) if block else None')
    server = serve()
    assert run(server, make_job("crashes", ["crash"])) == -signal.SIGSEGV
    assert run(server, make_job("exits", ["now"])) == 7
    assert run(server, make_job("works")) == 0


def facts_of(folder, tmp_path, monkeypatch, start):
    monkeypatch.setenv("FACTS", str(tmp_path / "facts.json"))
    assert start(folder) == 0, folder.log.read_text()
    return json.loads((tmp_path / "facts.json").read_text())


def started_by_worker(folder):
    return Presses().run(lambda: start_process(row_command(folder.job), folder.log))


@pytest.mark.slow
@pytest.mark.parametrize("library", mark_others(pytest.mark.exhaustive, ["", "torch"], ""))
def test_a_forked_row_finds_what_one_of_a_new_interpreter_finds(
    serve, make_job, hooked, tmp_path, monkeypatch, library
):
    hooked(FACTS)
    folder = make_job(blocked=[library])
    fresh = facts_of(folder, tmp_path, monkeypatch, started_by_worker)
    forked = facts_of(
        folder,
        tmp_path,
        monkeypatch,
        lambda folder: run(serve(*["lightly_core.engine.run"] * bool(library)), folder),
    )
    assert forked == fresh


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "draw"),
    [
        ("random", "random.random()"),
        ("numpy", "numpy.random.rand()"),
        pytest.param("torch", "torch.initial_seed()", marks=pytest.mark.exhaustive),
    ],
)
def test_rows_have_random_numbers_of_their_own(serve, make_job, hooked, module, draw):
    hooked(f"import {module}\nprint({draw})")
    server = serve(module)
    drawn = []
    for name in ("one", "two"):
        folder = make_job(name)
        assert run(server, folder) == 0
        drawn.append(folder.log.read_text())
    # Older versions of torch have the same seed in all processes.
    assert drawn[0] != drawn[1] or drawn[0] == "67280421310721\n"


@pytest.mark.slow
def test_each_press_reaches_a_forked_row(serve, make_job, hooked):
    hooked('print("ready", flush=True)\nimport time\ntime.sleep(30)')
    folder = make_job()
    row = serve().fork(folder.job, folder.log)
    wait = row.wait

    def press_once(timeout=None):
        if not pressed and folder.log.exists() and "ready" in folder.log.read_text():
            pressed.append(os.kill(os.getpid(), signal.SIGINT))
        return wait(timeout)

    pressed = []
    row.wait = press_once
    assert Presses().run(lambda: row) == 130
    assert folder.log.read_text().splitlines() == ["ready", "interrupted"]


@pytest.mark.slow
def test_an_exception_in_the_suite_leaves_no_row_behind(make_job, hooked, tmp_path):
    hooked("print(os.getpid(), flush=True)\nimport time\ntime.sleep(30)")
    folder = make_job()
    launcher = LocalLauncher(LocalArgs(), SuiteInfo("a", tmp_path, ("json",), print))
    launcher.submit([RowJob("row", folder.job, folder.log, tmp_path)])
    while not (folder.log.exists() and folder.log.read_text().endswith("\n")):
        assert launcher.wait(0.01) == []
    launcher.close()
    assert not is_running(int(folder.log.read_text()))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_server_that_is_killed_ends_its_row_and_starts_no_other(serve, make_job, hooked):
    hooked("import time\ntime.sleep(30)")
    folder, server = make_job(), serve()
    row = server.fork(folder.job, folder.log)
    server._process.kill()
    assert row.wait(60) == -signal.SIGKILL
    assert server.fork(folder.job, folder.log) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "import threading\nthreading.Timer(60, print).start()",
        "import os\nos._exit(3)",
    ],
)
def test_rows_start_anew_where_a_copy_is_not_safe(serve, make_job, tmp_path, monkeypatch, module):
    (tmp_path / "acme.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    folder = make_job()
    assert serve("acme").fork(folder.job, folder.log) is None


@pytest.mark.slow
def test_a_module_that_cannot_be_imported_is_left_to_the_row(serve, make_job):
    assert run(serve("no_such_module"), make_job()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("change", ["environment", "place"])
def test_a_server_of_another_environment_is_not_used(
    serve, make_job, monkeypatch, tmp_path, change
):
    server, folder = serve(), make_job()
    with monkeypatch.context() as patch:
        if change == "environment":
            patch.setenv("OMP_NUM_THREADS", "17")
        else:
            patch.chdir(tmp_path)
        assert server.fork(folder.job, folder.log) is None
    assert run(server, folder) == 0


def test_what_only_some_rows_use_is_not_imported_for_all(load):
    text = '[[rows]]\nmethod = "byol"\nmodel = "torchvision/resnet18"\nevaluate = false\n'
    suite = load(text=text)
    first, _, other = suite.rows
    assert "lightly_timm.library" in modules_of([first])
    assert "lightly_torchvision.library" in modules_of([other])
    common = modules_of(suite.rows)
    assert common == [name for name in modules_of([first]) if name in modules_of([other])]
    assert not any("timm" in name or "evaluation" in name for name in common)
    assert "lightly_core.engine.run" in common


@pytest.mark.parametrize(
    ("platform", "modules"), [("darwin", ["json"]), ("win32", ["json"]), ("linux", [])]
)
def test_there_is_no_server_where_none_may_be(monkeypatch, platform, modules):
    monkeypatch.setattr(forking, "sys", SimpleNamespace(platform=platform))
    assert forking.start_server(modules) is None


@pytest.mark.parametrize("options", [{"fork_rows": False}, {"rows_at_once": 2}])
def test_a_server_that_cannot_be_used_is_not_started(tmp_path, options):
    launcher = LocalLauncher(LocalArgs(**options), SuiteInfo("a", tmp_path, ("json",), print))
    assert launcher._server is None


@pytest.mark.slow
def test_a_server_ends_with_the_suite(serve, make_job):
    code = (
        "import time; from lightly_core.benchmarking.forking import RowServer; "
        "server = RowServer([]); server.receive(None); "
        "print(server._process.pid, flush=True); time.sleep(60)"
    )
    suite = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(suite.stdout.readline())
    assert is_running(pid)
    suite.kill()
    suite.communicate()
    for _ in range(1000):
        if not is_running(pid):
            break
        signal.sigtimedwait([signal.SIGUSR2], 0.01)
    assert not is_running(pid)

import logging

import pytest

from lightly_core import __version__
from lightly_core.errors import PluginError
from lightly_core.plugins import discovery

KINDS = ("method", "models", "transform", "logger", "format")


HOOK = """
@hookimpl
def lightly_register(catalog):
    pass
"""


def provided(plugins):
    """Everything in the catalog but what the core itself provides."""
    return [
        record
        for kind in KINDS
        for record in plugins.catalog.records(kind)
        if record.distribution != "lightly-core"
    ]


def test_without_plugins_only_the_builtin_loggers_are_there(sandbox):
    plugins = sandbox.discover()
    assert plugins.statuses == ()
    assert provided(plugins) == []
    assert plugins.catalog.usable_names("logger") == ["jsonl", "tensorboard"]


def test_a_good_plugin_is_loaded(sandbox):
    sandbox.method("lightly-good", "nice", version="2.3")
    status = sandbox.status()
    assert (status.name, status.distribution, status.version) == ("good", "lightly-good", "2.3")
    assert (status.state, status.error, status.traceback) == ("loaded", None, None)
    assert status.provides == ("method nice",)
    assert status.import_ms > 0


def test_the_order_is_by_name_not_by_folder(sandbox):
    for distribution, entry in (("aa", "z"), ("zz", "a"), ("mm", "a")):
        sandbox.method(distribution, f"m-{distribution}", entry=entry)
    found = [(s.name, s.distribution) for s in sandbox.discover().statuses]
    assert found == [("a", "mm"), ("a", "zz"), ("z", "aa")]


REGISTER = "@hookimpl\ndef lightly_register(catalog): pass\n"
ADD = """
def add(catalog, name, target, record=MethodRecord):
    catalog.add(record(name=name, target=target, config="bad.c:C", summary="S."))

"""

BROKEN = {
    "raises at import": ("raise RuntimeError('no\\n luck')", "RuntimeError: no luck"),
    "exits at import": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "needs what is not there": (
        "import foolib_that_is_not",
        "ModuleNotFoundError: No module named 'foolib_that_is_not'",
    ),
    "misspells a hook": (
        "@hookimpl\ndef lightly_regster(catalog): pass",
        "unknown hook 'lightly_regster'\n"
        "  hooks are: lightly_register, lightly_run_start, lightly_run_end",
    ),
    "misspells the prefix": ("@hookimpl\ndef lighty_register(catalog): pass", "unknown hook"),
    "forgets the marker": (
        "def lightly_register(catalog): pass",
        "'lightly_register' is not marked\n  put @hookimpl above it",
    ),
    "has no hook": ("x = 1", "has no hook"),
    "asks for an unknown argument": (
        "@hookimpl\ndef lightly_run_start(run, colour): pass",
        "PluginValidationError",
    ),
    "wraps a hook": (
        "@hookimpl(wrapper=True)\ndef lightly_run_start(run): yield",
        "@hookimpl accepts tryfirst and trylast only",
    ),
    "has no API number": ("del LIGHTLY_API\n" + REGISTER, "has no LIGHTLY_API"),
    "has an API number that is none": (
        "LIGHTLY_API = '1'\n" + REGISTER,
        "has LIGHTLY_API = '1'\n  expected the line LIGHTLY_API = 2",
    ),
    "raises while registering": (
        ADD + ADD + "@hookimpl\ndef lightly_register(catalog):\n"
        "    add(catalog, 'early', 'bad.m:M')\n"
        "    1 / 0\n",
        "ZeroDivisionError: division by zero",
    ),
    "registers a foreign target": (
        ADD + ADD + "@hookimpl\ndef lightly_register(catalog):\n"
        "    add(catalog, 'early', 'bad.m:M')\n"
        "    add(catalog, 'evil', 'os.path:join')\n",
        "target of method 'evil' is 'os.path:join', outside of the plugin's package 'bad'",
    ),
    "claims a built-in": (
        ADD + ADD + "@hookimpl\ndef lightly_register(catalog):\n"
        "    add(catalog, 'jsonl', 'bad.m:M', LoggerRecord)\n",
        "logger 'jsonl' belongs to lightly-core",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_fails_alone_and_leaves_nothing(sandbox, what):
    body, error = BROKEN[what]
    sandbox.add("bad", body)
    sandbox.method("lightly-good", "nice")
    plugins = sandbox.discover()
    states = {s.name: s for s in plugins.statuses}
    assert states["good"].state == "loaded"
    assert states["bad"].state == "failed"
    assert error in states["bad"].error
    assert states["bad"].provides == ()
    assert [record.name for record in provided(plugins)] == ["nice"]
    assert [s.name for s in plugins.problems] == ["bad"]
    plugins.run_start(object())  # No hook of the failed plugin is left to be called.


def test_what_raised_keeps_its_traceback(sandbox):
    sandbox.add("bad", "def boom(): raise RuntimeError('here')\nboom()")
    assert "in boom" in sandbox.status().traceback


def test_what_a_plugin_prints_is_kept_out_of_lists(sandbox, capsys):
    sandbox.add("chatty", "print('hello')\n" + HOOK)
    assert sandbox.status().state == "loaded"
    assert capsys.readouterr() == ("", "hello\n")


def test_a_plugin_that_takes_long_to_import_is_named(sandbox, monkeypatch, caplog):
    monkeypatch.setattr(discovery, "_SLOW_MS", -1.0)
    sandbox.add("late", HOOK)
    sandbox.discover()
    assert "s to import, which delays every command; --no-plugin late" in caplog.text


def test_ctrl_c_during_an_import_is_not_swallowed(sandbox):
    sandbox.add("bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        sandbox.discover()


def test_an_entry_that_names_an_object_fails(sandbox):
    sandbox.add("bad", REGISTER, value="bad.plugin:thing")
    assert sandbox.status().error == (
        "entry point names 'bad.plugin:thing', expected a module\n"
        '  in its pyproject.toml: bad = "bad.plugin"'
    )


def test_metadata_that_cannot_be_read_hides_nobody_else(sandbox):
    sandbox.add("bad", REGISTER, entry_points="[lightly.plugins]\nno equals sign\n")
    sandbox.method("lightly-good", "nice")
    states = {s.distribution: s for s in sandbox.discover().statuses}
    assert states["lightly-good"].state == "loaded"
    assert states["bad"].state == "failed"
    assert "metadata cannot be read" in states["bad"].error


def test_two_distributions_may_have_one_entry_name(sandbox):
    sandbox.method("acme-one", "m1", entry="same")
    sandbox.method("acme-two", "m2", entry="same")
    assert [s.state for s in sandbox.discover().statuses] == ["loaded", "loaded"]


def test_failing_discards_only_the_one_of_two_with_the_same_entry_name(sandbox):
    sandbox.method("acme-one", "m1", entry="same")
    sandbox.add("acme-two", "1 / 0", entry="same")
    assert sandbox.discover().catalog.usable_names("method") == ["m1"]


def test_a_module_is_used_once(sandbox):
    package = sandbox.method("acme-one", "m1", entry="a")
    sandbox.add("acme-two", REGISTER, entry="b", value=f"{package}.plugin")
    first, second = sandbox.discover().statuses
    assert first.state == "loaded"
    assert second.error == "its module acme_one.plugin is already in use as acme-one:a"


def test_lazy_attributes_of_a_module_are_not_touched(sandbox):
    body = REGISTER + (
        "def __dir__(): return ['heavy', 'lightly_register']\n"
        "def __getattr__(name): raise RuntimeError(name)\n"
    )
    sandbox.add("lazy", body)
    assert sandbox.status().state == "loaded"


# ------------------------------------------------------------------- compatibility


@pytest.mark.parametrize(("api", "remedy"), [(3, "lightly-core"), (1, "acme")])
def test_another_api_is_incompatible(sandbox, api, remedy):
    sandbox.add("acme", f"LIGHTLY_API = {api}\n" + REGISTER)
    status = sandbox.status()
    assert status.state == "incompatible"
    assert status.error == (
        f"uses plugin API {api}, this lightly-core {__version__} supports 2"
        f"\n  pip install -U {remedy}"
    )


def test_a_distribution_for_another_core_is_not_even_imported(sandbox):
    sandbox.method("acme", "m", requires=["numpy>=1", "lightly_core<99,>=98"])
    status = sandbox.status()
    assert status.state == "incompatible"
    assert status.error == (
        f"needs lightly_core<99,>=98, this is lightly-core {__version__}"
        "\n  pip install -U lightly-core acme"
    )
    assert not sandbox.was_imported("acme")


@pytest.mark.parametrize(
    "requirement",
    [f"lightly-core=={__version__}", "lightly-core>=0.0.1", "lightly-core>=98; extra == 'x'"],
)
def test_a_distribution_for_this_core_is_loaded(sandbox, requirement):
    sandbox.method("acme", "m", requires=[requirement])
    assert sandbox.status().state == "loaded"


# ------------------------------------------------------------------ allow and block


@pytest.mark.parametrize("name", ["good", "lightly-good", "Lightly_Good"])
def test_blocking_by_entry_or_distribution_name_prevents_the_import(sandbox, name):
    sandbox.method("lightly-good", "nice")
    plugins = sandbox.discover(block=[name])
    (status,) = plugins.statuses
    assert (status.state, status.error) == ("blocked", f"--no-plugin {name}")
    assert not sandbox.was_imported("lightly-good")
    assert provided(plugins) == []
    assert plugins.problems == ()


def test_the_allow_list_comes_from_the_environment(sandbox, monkeypatch):
    sandbox.method("lightly-good", "nice")
    sandbox.method("lightly-other", "other")
    monkeypatch.setenv("LIGHTLY_PLUGINS", "good, ")
    good, other = sandbox.discover().statuses
    assert good.state == "loaded"
    assert (other.state, other.error) == ("blocked", "not in LIGHTLY_PLUGINS=good")
    assert not sandbox.was_imported("lightly-other")


def test_an_empty_allow_list_allows_nothing(sandbox, monkeypatch):
    sandbox.method("lightly-good", "nice")
    monkeypatch.setenv("LIGHTLY_PLUGINS", "")
    assert sandbox.status().state == "blocked"


def test_an_explicit_allow_list_wins_over_the_environment(sandbox, monkeypatch):
    sandbox.method("lightly-good", "nice")
    monkeypatch.setenv("LIGHTLY_PLUGINS", "other")
    assert sandbox.status(allow=["good"]).state == "loaded"


def test_blocking_wins_over_allowing(sandbox):
    sandbox.method("lightly-good", "nice")
    assert sandbox.status(allow=["good"], block=["good"]).state == "blocked"


def test_names_that_match_no_plugin_are_reported(sandbox, monkeypatch, caplog):
    monkeypatch.setenv("LIGHTLY_PLUGINS", "nobody")
    with caplog.at_level(logging.WARNING):
        sandbox.discover(block=["noone"])
    assert [record.getMessage() for record in caplog.records] == [
        "LIGHTLY_PLUGINS names 'nobody', but no such plugin is installed",
        "--no-plugin names 'noone', but no such plugin is installed",
    ]


def test_only_the_first_process_reports(sandbox, monkeypatch, caplog):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with caplog.at_level(logging.WARNING):
        sandbox.discover(block=["noone"])
    assert not caplog.records


# -------------------------------------------------------------------------- strict


def test_strict_mode_raises_and_names_all(sandbox):
    sandbox.add("bad", "1 / 0")
    sandbox.add("old", "LIGHTLY_API = 0\n" + REGISTER)
    with pytest.raises(PluginError) as caught:
        sandbox.discover(strict=True)
    text = str(caught.value)
    assert text.startswith("2 of the installed plugins cannot be used, and strict mode is on")
    assert "bad 1.0 is failed: ZeroDivisionError: division by zero" in text
    assert "old 1.0 is incompatible: uses plugin API 0" in text


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("0", False), ("", False)])
def test_strict_mode_comes_from_the_environment(sandbox, monkeypatch, value, strict):
    sandbox.add("bad", "1 / 0")
    monkeypatch.setenv("LIGHTLY_STRICT_PLUGINS", value)
    if strict:
        with pytest.raises(PluginError, match="strict mode"):
            sandbox.discover()
    else:
        assert sandbox.status().state == "failed"


def test_strict_mode_accepts_blocked_plugins(sandbox):
    sandbox.add("bad", "1 / 0")
    assert sandbox.status(block=["bad"], strict=True).state == "blocked"


# --------------------------------------------------------------------------- hooks


def test_run_hooks_are_called_and_one_that_raises_is_isolated(sandbox, caplog):
    sandbox.add("a-first", "@hookimpl\ndef lightly_run_start(run): run.append('first')")
    sandbox.add("b-bad", "@hookimpl\ndef lightly_run_start(run): raise SystemExit('out')")
    sandbox.add("c-bare", "@hookimpl\ndef lightly_run_start(): pass")
    sandbox.add("d-last", "@hookimpl\ndef lightly_run_start(run): run.append('last')")
    plugins = sandbox.discover()
    assert {s.state for s in plugins.statuses} == {"loaded"}
    calls = []
    with caplog.at_level(logging.WARNING):
        plugins.run_start(calls)
    assert sorted(calls) == ["first", "last"]
    (record,) = caplog.records
    assert record.getMessage() == "plugin b-bad:b-bad: lightly_run_start failed; the run continues"
    assert "SystemExit: out" in caplog.text


def test_run_end_is_its_own_hook(sandbox):
    sandbox.add("acme", "@hookimpl\ndef lightly_run_end(run): run.append('end')")
    plugins, calls = sandbox.discover(), []
    plugins.run_start(calls)
    assert calls == []
    plugins.run_end(calls)
    assert calls == ["end"]


def test_each_broken_plugin_gets_one_warning_line(sandbox, caplog):
    sandbox.add("bad", "1 / 0")
    sandbox.method("lightly-good", "nice")
    plugins = sandbox.discover()
    with caplog.at_level(logging.WARNING):
        plugins.warn_about_problems()
    assert [record.getMessage() for record in caplog.records] == [
        "plugin bad 1.0 is failed and not used: ZeroDivisionError: division by zero; "
        "see `lightly plugins -v`"
    ]


# --------------------------------------------------------------- once per process


def test_get_plugins_discovers_once_until_configured(sandbox):
    sandbox.method("lightly-good", "nice")
    first = discovery.get_plugins()
    assert discovery.get_plugins() is first
    discovery.configure(block=["good"])
    assert [s.state for s in discovery.get_plugins().statuses] == ["blocked"]


def test_discovering_again_finds_the_same(sandbox):
    sandbox.method("lightly-good", "nice")
    first, second = sandbox.discover(), sandbox.discover()
    assert provided(first) == provided(second)
    assert [s.provides for s in first.statuses] == [s.provides for s in second.statuses]


def test_a_status_becomes_plain_data(sandbox):
    sandbox.add("bad", "1 / 0")
    data = sandbox.status().as_dict()
    assert data.pop("import_ms") >= 0
    assert data == {
        "name": "bad",
        "distribution": "bad",
        "version": "1.0",
        "state": "failed",
        "provides": [],
        "error": "ZeroDivisionError: division by zero",
    }

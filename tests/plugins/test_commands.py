import json

import pytest

from lightly_core import listing
from lightly_core.cli.main import main
from lightly_core.errors import PluginError
from lightly_core.plugins import discovery

MODELS = """
@hookimpl
def lightly_register(catalog):
    catalog.add(ModelsRecord(
        name="zoo",
        target="acme_zoo.lib:Library",
        names=("resnet18", "ResNet50", "vit"),
        requires=("not-there>=1",),
        summary="Models.",
        licence="AGPL-3.0",
    ))
    catalog.add(ModelsRecord(
        name="open",
        target="acme_zoo.lib:Open",
        names=None,
        summary="More.",
    ))
"""

LIBRARY = """
from lightly_core.contracts import ModelLibrary

class Open(ModelLibrary):
    create = wrap = snippet = None
    def names(self): return ["living"]
"""


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


# ---------------------------------------------------------------------------- nothing


def test_with_no_plugin_each_list_says_what_to_install(sandbox, run):
    for command in ("methods", "models", "plugins"):
        code, out, err = run(command)
        assert (code, out) == (0, "")
        assert "  for example: pip install lightly-" in err
        code, out, err = run(command, "--json")
        assert (code, json.loads(out), err) == (0, [], "")


# ---------------------------------------------------------------------------- plugins


def test_plugins_shows_every_state(sandbox, run):
    sandbox.method("a-good", "nice")
    sandbox.method("b-blocked", "hidden")
    sandbox.add("c-old", "LIGHTLY_API = 0\n@hookimpl\ndef lightly_register(catalog): pass")
    sandbox.add("d-bad", "1 / 0")
    code, out, err = run("plugins", "--no-plugin", "b-blocked")
    assert (code, err) == (0, "")
    assert [line.split(None, 4) for line in out.splitlines()] == [
        ["PLUGIN", "DISTRIBUTION", "STATE", "PROVIDES"],
        ["a-good", "a-good", "1.0", "loaded", "method nice"],
        ["b-blocked", "b-blocked", "1.0", "blocked", "--no-plugin b-blocked"],
        ["c-old", "c-old", "1.0", "incompatible", out.splitlines()[3].split(None, 4)[4]],
        ["d-bad", "d-bad", "1.0", "failed", "ZeroDivisionError: division by zero"],
    ]
    assert "uses plugin API 0" in out
    assert "Traceback" not in out


def test_plugins_verbose_shows_tracebacks_remedies_and_records(sandbox, run):
    sandbox.add("d-bad", "1 / 0")
    sandbox.add("c-old", "LIGHTLY_API = 0\n@hookimpl\ndef lightly_register(catalog): pass")
    sandbox.add("acme-zoo", MODELS)
    code, out, _ = run("plugins", "-v")
    assert code == 0
    assert "Traceback (most recent call last)" in out
    assert "  pip install -U c-old\n" in out
    assert "  model library 'zoo': Models.\n    target: acme_zoo.lib:Library\n" in out
    assert "    licence: AGPL-3.0\n" in out
    assert "    missing: not-there>=1; pip install 'not-there>=1'\n" in out


def test_one_plugin_is_described(sandbox, run):
    sandbox.method("a-good", "nice")
    sandbox.add("acme-zoo", MODELS)
    code, out, _ = run("plugins", "acme-zoo")
    assert code == 0
    assert out.startswith("acme-zoo (acme-zoo 1.0): loaded\n")
    assert "    target: acme_zoo.lib:Library\n" in out
    assert "nice" not in out
    assert [entry["name"] for entry in json.loads(run("plugins", "a-good", "--json")[1])] == [
        "a-good"
    ]
    code, _, err = run("plugins", "acme-zo")
    assert code == 2
    assert err.startswith("error: no plugin 'acme-zo' is installed, did you mean 'acme-zoo'?\n")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("nice", "'a-good' provides the method 'nice', see `lightly methods nice`"),
        ("zoo", "'acme-zoo' provides the models 'zoo', see `lightly plugins acme-zoo`"),
    ],
)
def test_the_name_of_what_a_plugin_provides_is_explained(sandbox, run, name, answer):
    sandbox.method("a-good", "nice")
    sandbox.add("acme-zoo", MODELS)
    code, _, err = run("plugins", name)
    assert (code, err) == (2, f"error: no plugin '{name}' is installed; the plugin {answer}\n")


def test_plugins_as_json(sandbox, run):
    sandbox.method("a-good", "nice")
    sandbox.add("d-bad", "1 / 0")
    _, out, _ = run("plugins", "--json")
    good, bad = json.loads(out)
    assert (good["state"], good["provides"], good["error"]) == ("loaded", ["method nice"], None)
    assert (bad["state"], bad["error"]) == ("failed", "ZeroDivisionError: division by zero")


def test_strict_plugins_ends_with_code_2(sandbox, run):
    sandbox.add("d-bad", "1 / 0")
    code, out, err = run("--strict-plugins", "plugins")
    assert (code, out) == (2, "")
    assert err.startswith("error: 1 of the installed plugins cannot be used")


def test_options_of_one_call_do_not_leak_into_the_next(sandbox, run):
    sandbox.method("a-good", "nice")
    assert "blocked" in run("plugins", "--no-plugin", "a-good")[1]
    assert "blocked" not in run("plugins")[1]


# ---------------------------------------------------------------------------- methods


def test_methods_lists_and_marks_contested_names(sandbox, run):
    sandbox.method("acme", "own")
    sandbox.method("lightly-a", "same")
    sandbox.method("lightly-b", "same")
    code, out, _ = run("methods")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        *("METHOD", "own", "lightly-a:same", "lightly-b:same"),
    ]
    _, out, _ = run("methods", "--json")
    entries = json.loads(out)
    assert [(e["name"], e["ambiguous"]) for e in entries] == [
        ("own", False),
        ("lightly-a:same", True),
        ("lightly-b:same", True),
    ]
    assert entries[0]["summary"] == "S."
    assert listing.list_methods() == ["lightly-a:same", "lightly-b:same", "own"]


def test_a_method_is_described_with_what_it_requires(run):
    code, out, _ = run("methods", "mae")
    assert code == 0
    assert "https://arxiv.org/abs/2111.06377" in out
    assert "Capability of the backbone: tokens.\n" in out
    assert "lightly run method=mae --help" in out
    code, _, err = run("methods", "mea")
    assert code == 2
    assert "did you mean 'mae'" in err


# ----------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ((), ["zoo/resnet18", "zoo/ResNet50", "zoo/vit"]),
        (("resnet",), ["zoo/resnet18", "zoo/ResNet50"]),
        (("ZOO/V",), ["zoo/vit"]),
        (("zoo/*5?",), ["zoo/ResNet50"]),
        (("res*",), ["zoo/resnet18", "zoo/ResNet50"]),
        (("*/[rv]*",), ["zoo/resnet18", "zoo/ResNet50", "zoo/vit"]),
    ],
)
def test_models_by_pattern(sandbox, run, pattern, expected):
    sandbox.add("acme-zoo", MODELS)
    code, out, _ = run("models", *pattern)
    assert (code, out.splitlines()) == (0, expected)
    assert listing.list_models(*pattern) == expected
    _, out, _ = run("models", *pattern, "--json")
    entries = json.loads(out)
    assert [entry["name"] for entry in entries] == expected
    assert all(entry["missing"] == ["not-there>=1"] for entry in entries)
    assert all(entry["library"] == "zoo" for entry in entries)


def test_models_notes_what_the_list_cannot_show(sandbox, run):
    sandbox.add("acme-zoo", MODELS)
    _, _, err = run("models")
    assert "the plugin acme-zoo 1.0 lists no names; --live imports its library" in err
    assert "zoo/... needs not-there>=1, which is not installed\n  pip install 'not-there>=1'" in err


def test_models_without_match_offers_a_near_name(sandbox, run):
    sandbox.add("acme-zoo", MODELS)
    code, out, err = run("models", "zoo/resnet81")
    assert (code, out) == (0, "")
    assert "no model matches 'zoo/resnet81', did you mean 'zoo/resnet18'?" in err


def test_live_asks_the_library_and_passes_over_one_that_cannot_answer(sandbox, run):
    sandbox.add("acme-zoo", MODELS, files={"lib.py": LIBRARY})
    code, out, err = run("models", "--live")
    assert (code, out) == (0, "open/living\n")
    assert "warning: model library 'zoo' needs not-there>=1, which is not installed" in err
    with pytest.raises(PluginError, match="not-there"):
        listing.list_models(live=True)


def test_live_refuses_what_is_no_library(sandbox):
    sandbox.add("acme-zoo", MODELS, files={"lib.py": "class Open: pass"})
    record = sandbox.discover().catalog.get("models", "open")
    with pytest.raises(PluginError, match="expected a subclass of ModelLibrary"):
        listing.library_models("open", record, live=True)


def test_a_library_whose_list_is_lost_hides_no_other(sandbox, run):
    sandbox.add("acme-zoo", MODELS.replace("None", "'acme_zoo:gone.txt'"))
    code, out, err = run("models", "vit")
    assert (code, out) == (0, "zoo/vit\n")
    assert "warning: names of model library 'open'" in err


def test_list_plugins_gives_the_statuses(sandbox):
    sandbox.method("a-good", "nice")
    discovery.configure()
    assert [status.state for status in listing.list_plugins()] == ["loaded"]

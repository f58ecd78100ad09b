import runpy
from pathlib import Path

import pytest

from lightly_core.errors import ConfigError, PluginError, UnknownModelError
from lightly_core.plugins.catalog import Catalog, PluginStatus
from lightly_core.plugins.published import PUBLISHED
from lightly_core.plugins.records import (
    KINDS,
    FormatRecord,
    LoggerRecord,
    MethodRecord,
    ModelsRecord,
    TransformRecord,
)

THINGS = {"target": "acme.method:Thing", "config": "acme.config:Config", "summary": "A thing."}


def owned_by(catalog, distribution, version="1.0", root="acme", plugin=None):
    return catalog.registering(
        plugin=plugin or distribution, distribution=distribution, version=version, root=root
    )


@pytest.fixture
def catalog():
    return Catalog()


def test_a_record_holds_what_was_registered(catalog):
    with owned_by(catalog, "lightly-acme", version="2.0", plugin="acme"):
        catalog.add(MethodRecord(name="thing", **THINGS, requires=("foo>=1",), licence="MIT"))
    record = catalog.get("method", "thing")
    assert (record.kind, record.name, record.summary) == ("method", "thing", "A thing.")
    assert (record.target, record.config) == (THINGS["target"], THINGS["config"])
    assert (record.requires, record.licence) == (("foo>=1",), "MIT")
    assert (record.plugin, record.owner) == ("acme", "lightly-acme 2.0")
    assert record.label == "method 'thing'"


def test_kinds_are_apart_and_records_sorted(catalog):
    with owned_by(catalog, "acme"):
        catalog.add(MethodRecord(name="b", **THINGS))
        catalog.add(MethodRecord(name="a", **THINGS))
        catalog.add(TransformRecord(name="a", **THINGS))
        catalog.add(LoggerRecord(name="a", **THINGS))
    assert [r.name for r in catalog.records("method")] == ["a", "b"]
    assert [r.kind for r in catalog.records("transform")] == ["transform"]
    assert [r.kind for r in catalog.records("logger")] == ["logger"]
    assert catalog.records("models") == ()


# ---------------------------------------------------------------------- bad records


@pytest.mark.parametrize("name", ["", "Thing", "a/b", "a:b", "-a", "a b", "ä", 3])
def test_illegal_names_are_refused(catalog, name):
    with owned_by(catalog, "acme"), pytest.raises(PluginError, match="is not allowed"):
        catalog.add(MethodRecord(name=name, **THINGS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "acme.method"}, "target of method 'thing': expected 'package.module:Name'"),
        ({"target": "acme.method:a()"}, "expected 'package.module:Name', got 'acme.method:a()'"),
        ({"target": None}, "target of method 'thing': expected 'package.module:Name', got None"),
        ({"target": "acmex.method:T"}, "outside of the plugin's package 'acme'"),
        ({"config": "other.config:C"}, "config of method 'thing' is 'other.config:C', outside"),
        ({"summary": " "}, "summary of method 'thing': expected one line, got ' '"),
        ({"summary": "a\nb"}, "expected one line"),
        ({"requires": "timm>=1"}, "got 'timm>=1'\n  write ('timm>=1',)"),
        ({"requires": (">=1",)}, "expected a requirement such as 'timm>=1.0', got '>=1'"),
    ],
)
def test_bad_records_are_refused(catalog, change, message):
    with owned_by(catalog, "acme"), pytest.raises(PluginError) as caught:
        catalog.add(MethodRecord(name="thing", **{**THINGS, **change}))
    assert message in str(caught.value)
    assert catalog.records("method") == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": "models.txt"}, "expected 'package:file.txt', got 'models.txt'"),
        ({"names": "other:models.txt"}, "outside of the plugin's package"),
        ({"wraps": "timm"}, "expected a tuple of strings, got 'timm'"),
        ({"wraps": ("timm.models",)}, "expected top-level modules such as 'timm'"),
    ],
)
def test_bad_model_records_are_refused(catalog, change, message):
    arguments = {"target": "acme.lib:Lib", "names": None, "summary": "S.", **change}
    with owned_by(catalog, "acme"), pytest.raises(PluginError) as caught:
        catalog.add(ModelsRecord(name="lib", **arguments))
    assert message in str(caught.value)


def test_registering_later_is_refused(catalog):
    with owned_by(catalog, "acme"):
        pass
    with pytest.raises(PluginError, match="outside of lightly_register"):
        catalog.add(MethodRecord(name="thing", **THINGS))


# ------------------------------------------------------------------------ conflicts


def test_the_same_record_twice_is_one(catalog):
    for plugin in ("acme", "acme-again"):
        with owned_by(catalog, "acme", plugin=plugin):
            catalog.add(MethodRecord(name="thing", **THINGS))
    assert len(catalog.records("method")) == 1
    assert not catalog.is_ambiguous(catalog.get("method", "thing"))


def test_two_records_of_one_distribution_clash(catalog):
    with owned_by(catalog, "acme"):
        catalog.add(MethodRecord(name="thing", **THINGS))
        with pytest.raises(PluginError, match=r"added twice by acme 1\.0"):
            catalog.add(MethodRecord(name="thing", **{**THINGS, "summary": "Another."}))


@pytest.fixture
def contested(catalog):
    with owned_by(catalog, "lightly-methods", version="0.1", plugin="methods"):
        catalog.add(MethodRecord(name="simclr", **THINGS))
    with owned_by(catalog, "acme-ssl", version="2.0"):
        catalog.add(MethodRecord(name="simclr", **THINGS))
        catalog.add(MethodRecord(name="own", **THINGS))
    return catalog


def test_using_a_contested_name_names_both_owners_and_both_ways_out(contested):
    with pytest.raises(PluginError) as caught:
        contested.get("method", "simclr")
    assert str(caught.value) == (
        "method 'simclr' is provided by lightly-methods 0.1 and acme-ssl 2.0\n"
        "  use method=lightly-methods:simclr or method=acme-ssl:simclr\n"
        "  or --no-plugin lightly-methods or --no-plugin acme-ssl"
    )


@pytest.mark.parametrize("owner", ["lightly-methods", "methods", "Lightly_Methods"])
def test_a_qualified_name_chooses(contested, owner):
    assert contested.get("method", f"{owner}:simclr").distribution == "lightly-methods"


def test_listing_shows_what_can_be_typed(contested):
    assert contested.usable_names("method") == ["acme-ssl:simclr", "lightly-methods:simclr", "own"]


def test_discarding_one_owner_ends_the_conflict(contested):
    contested.discard("acme-ssl")
    assert contested.get("method", "simclr").distribution == "lightly-methods"
    assert contested.usable_names("method") == ["simclr"]


def test_nobody_claims_a_name_of_the_core(catalog):
    with owned_by(catalog, "lightly-core"):
        catalog.add(LoggerRecord(name="jsonl", **THINGS))
    with owned_by(catalog, "acme"), pytest.raises(PluginError, match="belongs to lightly-core"):
        catalog.add(LoggerRecord(name="jsonl", **THINGS))
    assert catalog.get("logger", "jsonl").distribution == "lightly-core"


# --------------------------------------------------------------------- unknown names


def status(name, state, error):
    return PluginStatus(
        name=name, distribution=f"lightly-{name}", version="0.2.0", state=state, error=error
    )


def unknown(catalog, kind, name, error=ConfigError):
    with pytest.raises(error) as caught:
        catalog.get(kind, name)
    assert type(caught.value) is error
    return str(caught.value)


@pytest.fixture
def known(catalog):
    with owned_by(catalog, "acme"):
        for name in ("dino", "distillation", "simclr"):
            catalog.add(MethodRecord(name=name, **THINGS))
        catalog.add(ModelsRecord(name="timm", target="acme.lib:Lib", names=None, summary="S."))
    return catalog


@pytest.mark.parametrize("name", ["simclrr", "SimCLR"])
def test_a_near_name_is_offered_and_nothing_to_install(known, name):
    assert unknown(known, "method", name) == (
        f"unknown method '{name}'\n  did you mean 'simclr'?  known: dino, distillation, simclr"
    )


def test_a_name_of_our_own_plugins_is_told_with_its_distribution(known):
    assert unknown(known, "method", "mae") == (
        "unknown method 'mae'\n"
        "  known: dino, distillation, simclr\n"
        "  lightly-methods provides it:\n"
        "  pip install lightly-methods"
    )


def test_an_unknown_library_is_an_unknown_model_and_no_package_is_guessed(known):
    text = unknown(known, "models", "keras", UnknownModelError)
    assert text == "unknown model library 'keras'\n  known: timm"


def test_the_list_of_published_names_is_that_of_the_plugins_here():
    catalog = Catalog()
    for file in (Path(__file__).parents[2] / "plugins").glob("*/src/*/plugin.py"):
        root = file.parent.name
        with catalog.registering(plugin=root, distribution=root.replace("_", "-"), root=root):
            runpy.run_path(str(file))["lightly_register"](catalog)
    found = {
        (record.kind, record.name, record.distribution)
        for kind in KINDS
        for record in catalog.records(kind)
    }
    listed = {
        (kind, name, distribution)
        for kind, distributions in PUBLISHED.items()
        for distribution, names in distributions.items()
        for name in names
    }
    assert listed == found


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"suffixes": (".ONNX",)}, "lower case"),
        ({"suffixes": ("onnx",)}, "endings such as"),
        ({"suffixes": ".onnx"}, "tuple of strings"),
        ({"parts": ()}, "expected some of model"),
        ({"parts": ("head",)}, "expected some of model"),
    ],
)
def test_a_format_with_wrong_endings_or_parts_is_refused(catalog, fields, words):
    record = FormatRecord(name="a", target="acme.a:A", summary="A.", **fields)
    with owned_by(catalog, "acme"), pytest.raises(PluginError, match=words):
        catalog.add(record)


@pytest.mark.parametrize("kind", ["logger", "transform"])
def test_other_kinds_are_setting_errors(known, kind):
    assert "none is installed" in unknown(known, kind, "wandb")


def test_no_command_is_made_of_text_that_is_no_name(known):
    assert "pip install" not in unknown(known, "method", "x; rm -rf y")


def test_unknown_owner_of_a_known_name(known):
    assert unknown(known, "method", "nobody:dino").startswith("unknown method 'nobody:dino'")


def test_plugins_that_are_not_loaded_are_mentioned(known):
    known.problems = (
        status("foo", "failed", "ModuleNotFoundError: No module named 'foolib'"),
        status("bar", "incompatible", "uses plugin API 2\n  pip install -U lightly-core"),
        status("mae", "blocked", "--no-plugin mae"),
        status("mim", "blocked", "not in LIGHTLY_PLUGINS=x"),
        status("methods", "blocked", "--no-plugin methods"),
    )
    lines = unknown(known, "method", "mae").splitlines()
    assert "pip install" not in lines[-1]  # what is there already need not be installed
    assert lines[2:5] == [
        "  1 plugin failed to load: lightly-foo 0.2.0 "
        "(ModuleNotFoundError: No module named 'foolib'); see `lightly plugins -v`",
        "  1 plugin is incompatible: lightly-bar 0.2.0 (uses plugin API 2); "
        "see `lightly plugins -v`",
        "  3 plugins are blocked: lightly-mae 0.2.0 (--no-plugin mae), "
        "lightly-mim 0.2.0 (not in LIGHTLY_PLUGINS=x), lightly-methods 0.2.0 (--no-plugin "
        "methods); see `lightly plugins -v`",
    ]

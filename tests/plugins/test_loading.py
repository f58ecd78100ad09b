import sys

import pytest

from lightly_core.errors import PluginError, UnknownModelError
from lightly_core.plugins.loading import (
    load_config,
    load_target,
    missing_requirements,
)
from lightly_core.plugins.model_names import model_names

LIBRARY = """
@hookimpl
def lightly_register(catalog):
    catalog.add(ModelsRecord(
        name="{prefix}",
        target="{package}.lib:Library",
        names={names!r},
        wraps={wraps!r},
        requires={requires!r},
        summary="Models.",
    ))
"""


def add_library(sandbox, prefix, names, wraps=(), requires=(), **options):
    distribution = options.pop("distribution", f"lightly-{prefix}")
    package = distribution.replace("-", "_")
    if isinstance(names, str):
        names = f"{package}:{names}"
    body = LIBRARY.format(
        prefix=prefix, package=package, names=names, wraps=wraps, requires=requires
    )
    sandbox.add(distribution, body, **options)


# ------------------------------------------------------------------- import strings


def test_target_and_config_are_imported_on_use_only(sandbox):
    files = {"method.py": "class Thing: pass", "config.py": "class Config: pass"}
    sandbox.method("acme", "m", files=files)
    record = sandbox.discover().catalog.get("method", "m")
    assert "acme.config" not in sys.modules
    assert load_config(record).__name__ == "Config"
    assert "acme.method" not in sys.modules
    assert load_target(record).__name__ == "Thing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import foolib_that_is_not",
            "target acme.method:Thing of method 'm' cannot be imported\n"
            "  ModuleNotFoundError: No module named 'foolib_that_is_not'\n"
            "  reinstall acme 1.0, or report this to its authors",
        ),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        (
            "",
            "target acme.method:Thing of method 'm': 'acme.method' has no 'Thing'\n"
            "  report this to the authors of acme 1.0",
        ),
    ],
)
def test_a_target_that_cannot_be_imported(sandbox, text, message):
    sandbox.method("acme", "m", files={"method.py": text})
    record = sandbox.discover().catalog.get("method", "m")
    with pytest.raises(PluginError) as caught:
        load_target(record)
    assert message in str(caught.value)


def test_a_config_that_is_no_class(sandbox):
    sandbox.method("acme", "m", files={"config.py": "Config = 3"})
    record = sandbox.discover().catalog.get("method", "m")
    with pytest.raises(PluginError, match=r"expected a class at acme\.config:Config, got 3"):
        load_config(record)


def test_a_missing_requirement_is_told_before_the_import(sandbox):
    requires = ("not-there>=1", "acme-old>=2", "json")
    add_library(sandbox, "lib", None, requires=requires, files={"lib.py": "1 / 0"})
    sandbox.method("acme-old", "m", version="1.5")
    record = sandbox.discover().catalog.get("models", "lib")
    assert missing_requirements(record) == requires[:2]
    with pytest.raises(PluginError) as caught:
        load_target(record)
    assert str(caught.value) == (
        "model library 'lib' needs not-there>=1, which is not installed"
        " and acme-old>=2, but 1.5 is installed\n"
        "  pip install 'not-there>=1' 'acme-old>=2'"
    )


# ----------------------------------------------------------------------- model names


def test_names_come_from_the_record_or_a_file(sandbox):
    text = "# models\nsmall\n\n  large.v1  \n"
    add_library(sandbox, "tup", ("a", "b"))
    add_library(sandbox, "txt", "models.txt", files={"models.txt": text})
    add_library(sandbox, "non", None)
    catalog = sandbox.discover().catalog
    assert model_names(catalog.get("models", "tup")) == ("a", "b")
    assert model_names(catalog.get("models", "txt")) == ("small", "large.v1")
    assert model_names(catalog.get("models", "non")) == ()


def test_a_file_of_names_that_is_not_there(sandbox):
    add_library(sandbox, "txt", "models.txt")
    with pytest.raises(PluginError, match=r"cannot be read from lightly_txt:models\.txt"):
        model_names(sandbox.discover().catalog.get("models", "txt"))


def catch_model(catalog, name):
    with pytest.raises(UnknownModelError) as caught:
        catalog.model(name)
    return str(caught.value)


@pytest.fixture
def zoo(sandbox):
    add_library(sandbox, "tup", ("resnet18", "resnet50", "vit"))
    add_library(sandbox, "open", None)
    return sandbox.discover().catalog


def test_a_listed_name_is_split(zoo):
    record, name = zoo.model("tup/resnet50")
    assert (record.name, name) == ("tup", "resnet50")


def test_a_library_that_lists_nothing_takes_any_name(zoo):
    record, name = zoo.model("open/any/thing:1")
    assert (record.name, name) == ("open", "any/thing:1")


def test_a_list_that_is_not_complete_takes_any_name(sandbox):
    sandbox.add(
        "lightly-more",
        """
        @hookimpl
        def lightly_register(catalog):
            catalog.add(ModelsRecord(
                name="more",
                target="lightly_more.lib:L",
                names=("a",),
                complete=False,
                summary="S.",
            ))
        """,
    )
    record, name = sandbox.discover().catalog.model("more/not/listed.pt")
    assert (record.name, name) == ("more", "not/listed.pt")


def test_a_qualified_library(zoo):
    record, name = zoo.model("lightly-tup:tup/vit")
    assert (record.name, name) == ("tup", "vit")


def test_an_unlisted_name_is_refused(zoo):
    assert catch_model(zoo, "tup/resnet19") == (
        "model library 'tup' has no model 'resnet19'\n"
        "  did you mean 'resnet18' or 'resnet50'?\n"
        "  see `lightly models 'tup/*'` for all 3"
    )


def test_an_unknown_library_is_refused(zoo):
    assert catch_model(zoo, "tupp/vit").startswith(
        "unknown model library 'tupp'\n  did you mean 'tup'?  known: open, tup"
    )


@pytest.mark.parametrize("name", ["resnet18", "ResNet18", "/resnet18"])
def test_a_name_without_library_is_refused_with_the_full_name(zoo, name):
    text = catch_model(zoo, name)
    assert text.startswith(f"expected a model as 'library/name', got '{name}'\n")
    assert "did you mean 'tup/resnet18'" in text
    assert text.endswith("\n  known libraries: open, tup")


def test_no_library_at_all(sandbox):
    assert catch_model(sandbox.discover().catalog, "resnet18") == (
        "expected a model as 'library/name', got 'resnet18'\n  known libraries: none is installed"
    )


def test_a_file_of_weights_is_no_name_of_a_model(zoo, tmp_path):
    file = tmp_path / "run" / "exported_models" / "exported_last.pt"
    text = catch_model(zoo, str(file))
    assert f"got the file '{file}', which does not exist" in text
    file.parent.mkdir(parents=True)
    file.touch()
    text = catch_model(zoo, str(file))
    assert f"got the file '{file}'\n  give the file as checkpoint=FILE" in text
    (tmp_path / "run" / "config.json").write_text('{"model": "tup/vit"}')
    assert catch_model(zoo, str(file)).endswith("that is model=tup/vit")


# -------------------------------------------------------------------------- wrapping


def test_the_first_root_that_anyone_wraps_decides(sandbox):
    add_library(sandbox, "one", None, wraps=("onelib",))
    add_library(sandbox, "two", None, wraps=("twolib", "trilib"))
    catalog = sandbox.discover().catalog
    roots = ["__main__", "trilib.models.resnet", "onelib", "torch.nn"]
    assert catalog.library_of(roots).name == "two"
    assert catalog.library_of(["onelibx.models", "torch"]) is None
    assert catalog.library_of([]) is None


def test_two_libraries_for_one_root_are_ambiguous(sandbox):
    add_library(sandbox, "one", None, wraps=("same",))
    add_library(sandbox, "two", None, wraps=("same",))
    with pytest.raises(PluginError) as caught:
        sandbox.discover().catalog.library_of(["same.x"])
    assert str(caught.value) == (
        "modules of 'same' are wrapped by model library 'one' of lightly-one 1.0"
        " and model library 'two' of lightly-two 1.0\n"
        "  use --no-plugin lightly-one or --no-plugin lightly-two"
    )

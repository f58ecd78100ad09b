"""A method reaches its parent class by `super()`, so that a class in between is not skipped."""

import ast
import itertools
from pathlib import Path

import pytest
from attrs import define
from syntax import nodes_of

from lightly_core.config.options.method import RunFacts
from lightly_core.config.options.optim import OPTIMIZERS
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("lightly_core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
FACTS = RunFacts(dataset_size=1000, effective_batch_size=50, total_steps=100, steps_per_epoch=20)
OTHER_OPTIMIZER = "none of the method's own"


# ------------------------------------------------------------------------------- in the source


def last_name(node):
    """The last part of a dotted name, also of a generic one; None for anything else."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return getattr(node, "attr", getattr(node, "id", None))


def named_parent_calls(classes):
    """Calls of the enclosing method's own name on an ancestor that is named, as "Class.method"."""
    parents = {node.name: {last_name(base) for base in node.bases} - {None} for node in classes}

    def ancestors(name):
        direct = parents.get(name, set())
        return direct.union(*(ancestors(parent) for parent in direct))

    for node in classes:
        for method in node.body:
            if not isinstance(method, ast.FunctionDef):
                continue
            for call in ast.walk(method):
                called = call.func if isinstance(call, ast.Call) else None
                if (
                    isinstance(called, ast.Attribute)
                    and called.attr == method.name
                    and last_name(called.value) in ancestors(node.name)
                ):
                    yield f"{node.name}.{method.name}"


def classes_of(nodes):
    return [node for node in nodes if isinstance(node, ast.ClassDef)]


def test_no_method_names_the_parent_that_it_calls():
    classes = [node for file in SOURCES for node in classes_of(nodes_of(file))]
    assert len(classes) > 400
    assert list(named_parent_calls(classes)) == []


def test_a_named_parent_is_found_over_several_levels():
    tree = ast.parse(
        "class A(package.Base[T]): pass\n"
        "class B(A):\n"
        "    def near(self): return A.near(self)\n"
        "    def far(self): return package.Base.far(self)\n"
        "    def right(self): return super().right()\n"
        "    def other(self): return C.other(self)\n"
        "    def another_method(self): return A.near(self)\n"
    )
    assert list(named_parent_calls(classes_of(ast.walk(tree)))) == ["B.near", "B.far"]


# ------------------------------------------------------------------------------- in use


def level_above(cls, parent):
    """A subclass of `cls` with a class between `cls` and `parent`, and the calls of that class."""
    asked = []

    @define(frozen=True, kw_only=True)
    class Between(parent):
        def resolve(self, facts):
            asked.append("resolve")
            return super().resolve(facts)

        @classmethod
        def default_optimizer(cls, name):
            asked.append("default_optimizer")
            return OPTIMIZERS["sgd"]()

    @define(frozen=True, kw_only=True)
    class Below(cls, Between):
        pass

    return Below, asked


def method_configs():
    """Every class that the options of an installed method inherit from, the options included."""
    catalog = get_plugins().catalog
    found = {}
    for record in catalog.records("method"):
        lineage = load_config(record).__mro__
        for cls, parent in itertools.pairwise(lineage):
            if hasattr(parent, "default_optimizer"):
                found[cls] = parent
    return found


@pytest.mark.parametrize("name", ["resolve"])
def test_options_of_methods_skip_no_level(name):
    configs = {cls: parent for cls, parent in method_configs().items() if name in vars(cls)}
    assert configs
    skipped = []
    for cls, parent in configs.items():
        below, asked = level_above(cls, parent)
        if name == "resolve":
            below().resolve(FACTS)
        else:
            below.default_optimizer(OTHER_OPTIMIZER)
        if asked != [name]:
            skipped.append(cls.__name__)
    assert skipped == []


def test_views_skip_no_level():
    @define(frozen=True, kw_only=True)
    class Between(TransformArgs):
        def view_specs(self):
            return super().view_specs()[::-1] * 2

    @define(frozen=True, kw_only=True)
    class Below(MultiCropTransformArgs, Between):
        pass

    assert len(MultiCropTransformArgs().view_specs()) == 2
    assert len(Below().view_specs()) == 4

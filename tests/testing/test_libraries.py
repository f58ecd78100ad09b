import gc
import sys
import types
import weakref

import pytest
import torch
from chosen_checks import run_checks
from torch import nn
from toy_library import MODELS, Toys

from lightly_core.contracts import capabilities
from lightly_core.errors import ConfigError, PluginError, UnknownModelError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.model_facts import ModelFacts
from lightly_core.plugins.records import ModelsRecord
from lightly_core.testing import ModelExample, TinyConv, TinyTokens, libraries, model_library_checks

CAPABILITIES = (
    *(capabilities.TokenModel, capabilities.MultiScaleFeatures),
    *(capabilities.ActivationCheckpointing, capabilities.InputNormalization),
)
LIBRARY_CODES = ["N1", "N2", "N4", "N3", "N5", "E1", "E2"]
EXAMPLE_CODES = [*LIBRARY_CODES[3:], *(f"W{number}" for number in range(1, 14))]


@pytest.fixture
def install(monkeypatch):
    """Makes a library available as ``toys``."""

    def install(library=Toys, **record):
        module = types.ModuleType("toyplugin")
        module.Library = library
        monkeypatch.setitem(sys.modules, "toyplugin", module)
        catalog = Catalog()
        with catalog.registering(plugin="toys", distribution="toy-plugin", root="toyplugin"):
            any_size = getattr(library, "any_size", ("c*",))
            texts = {"names": ("conv", "tokens"), "summary": "Toys.", "any_size": any_size}
            record = {**texts, **record}
            catalog.add(ModelsRecord(name="toys", target="toyplugin:Library", **record))
        plugins = types.SimpleNamespace(catalog=catalog)
        monkeypatch.setattr(libraries, "get_plugins", lambda: plugins)

    return install


def run(code, examples=None):
    """Run the checks of one code, for all examples."""
    run_checks(model_library_checks("toys", examples=examples), code)


@pytest.mark.parametrize("code", LIBRARY_CODES)
def test_a_sound_library_holds_the_contract(install, code):
    install()
    run(code)


@pytest.mark.parametrize(("change", "fits"), [({}, True), ({"parameters": 1}, False)])
def test_the_facts_of_a_library_are_compared_with_its_models(install, monkeypatch, change, fits):
    install()
    parameters = sum(p.numel() for p in MODELS["conv"](3).get_model().parameters())
    known = {"parameters": parameters, "feature_dim": MODELS["conv"](3).feature_dim(), **change}
    facts = ModelFacts(family="f", network="n", capabilities=(), **known)
    monkeypatch.setattr(libraries, "read_facts", lambda record: {"conv": facts})
    if fits:
        run("N5")
    else:
        with pytest.raises(AssertionError, match=r"has 1 parameters .* but the model has"):
            run("N5")


def codes_by_subject(checks):
    found = {}
    for check in checks:
        found.setdefault(check.subject, []).append(check.code)
    return found


def test_the_checks_of_wrappers_and_capabilities_are_there_for_each_example(install):
    install()
    checks = model_library_checks("toys")
    codes = [*EXAMPLE_CODES, "A"]
    assert codes_by_subject(checks) == {"": ["N1", "N2", "N4"], "conv": codes, "tokens": codes}
    run_checks(checks, "W2", "W12", "A")


def test_declared_capabilities_are_checked_one_by_one(install):
    install()
    examples = [
        ModelExample("conv", image_size=32, capabilities=()),
        ModelExample("tokens", image_size=32, capabilities=CAPABILITIES),
    ]
    checks = model_library_checks("toys", examples=examples)
    codes = [*EXAMPLE_CODES, "A0"]
    capabilities = ["A1", "A2", "A3", "A4", "A7", "A5", "A6", "A8"]
    assert codes_by_subject(checks) == {
        "": ["N1", "N2", "N4"],
        "conv": codes,
        "tokens": [*codes, *capabilities],
    }
    run_checks(checks, "A0", "A3")


class Counts(Toys):
    """Notes what is built."""

    def create(self, name, **arguments):
        self.made.append((name, arguments["num_input_channels"], dict(arguments["model_args"])))
        return super().create(name, **arguments)


@pytest.fixture
def made(install):
    """What the installed library was asked to build."""
    Counts.made = []
    install(Counts)
    return Counts.made


def test_examples_bring_arguments_and_an_image_size(made):
    example = ModelExample("conv", {"feature_dim": 8}, image_size=16)
    checks = model_library_checks("toys", examples=[example])
    assert str(checks[-1]) == "conv(feature_dim=8):A-capabilities_hold"
    run_checks(checks, "W12")
    assert made == [("conv", 1, {"feature_dim": 8}), ("conv", 4, {"feature_dim": 8})]


@pytest.mark.parametrize("example", ["tokens", ModelExample("tokens", capabilities=CAPABILITIES)])
def test_nothing_is_built_while_checks_are_listed_and_one_model_for_most_of_them(made, example):
    checks = model_library_checks("toys", examples=[example])
    assert made == []
    rebuilding = ("N1", "N2", "N3", "N4", "E1", "E2", "W6", "W7", "W9", "W12")
    for check in checks:
        if check.code not in rebuilding:
            check()
    assert len(made) == 1


def test_only_the_model_of_one_example_is_kept(made, monkeypatch):
    alive = weakref.WeakSet()
    create = Counts.create
    monkeypatch.setattr(
        Counts, "create", lambda *a, **k: alive.add(found := create(*a, **k)) or found
    )
    checks = model_library_checks("toys", examples=["conv", "tokens"])
    gc.freeze()  # garbage is searched for among what the checks make
    for check in checks:
        if check.code in ("W1", "W4", "E2"):
            check()
            gc.collect()
            assert {type(wrapper) for wrapper in alive} == {MODELS[check.subject]}


def test_without_examples_the_first_listed_model_is_tried(install):
    class NoExamples(Toys):
        examples = ()

    install(NoExamples)
    assert {check.subject for check in model_library_checks("toys")} == {"", "conv"}
    install(NoExamples, names=None)
    with pytest.raises(PluginError, match=r"lists no models.*\n  set `examples`"):
        model_library_checks("toys")


class Only(TinyConv):
    """Takes images of one size, which has to be found for a plain name."""

    size = 128

    def forward_features(self, x):
        if x.shape[-1] != self.size:
            raise ValueError(f"expected {self.size} pixels")
        return super().forward_features(x)


class FourteenPixels(TinyTokens):
    def __init__(self, num_input_channels=3):
        super().__init__(num_input_channels, patch_size=14)


@pytest.mark.parametrize(("model", "size"), [(TinyConv, 64), (Only, 128), (FourteenPixels, 70)])
def test_an_image_size_is_looked_for(install, monkeypatch, model, size):
    monkeypatch.setitem(MODELS, "conv", model)
    install()
    sizes = []
    real = model.forward_features
    checks = model_library_checks("toys", examples=["conv"])
    run_checks(checks, "W3")
    monkeypatch.setattr(model, "forward_features", lambda s, x: sizes.append(x.shape) or real(s, x))
    run_checks(checks, "W1")
    assert sizes == [(2, 3, size, size)]


def test_a_library_that_cannot_be_used_is_named(install):
    install()
    with pytest.raises(UnknownModelError, match="unknown model library 'toyz'"):
        model_library_checks("toyz")
    install(nn.Linear)
    with pytest.raises(PluginError, match="expected a subclass of ModelLibrary"):
        model_library_checks("toys")
    checks = model_library_checks("toys", examples=["conv"])
    with pytest.raises(PluginError, match="expected a subclass of ModelLibrary"):
        checks[0]()


def test_an_example_that_cannot_be_built_lets_the_tests_be_collected(install):
    install()
    checks = model_library_checks("toys", examples=["connv"])
    with pytest.raises(UnknownModelError, match="toys has no model 'connv'"):
        run_checks(checks, "W1")


def test_names_that_a_list_need_not_have_may_be_examples(install):
    class Files(Toys):
        def create(self, name, **arguments):
            return super().create(name.removeprefix("folder/"), **arguments)

    install(Files, complete=False)
    run("N1", ["folder/conv"])
    install(Files)
    with pytest.raises(
        AssertionError, match=r"1 of its names are missing in names\(\): \['folder/conv'\]"
    ):
        run("N1", ["folder/conv"])


# -------------------------------------------------------------------------------- the faults


class ForgetsANewName(Toys):
    def names(self):
        return ["conv"]


class OwnExampleIsGone(Toys):
    examples = ("conv", "old")


class KeyErrorForUnknown(Toys):
    def create(self, name, *, num_input_channels, model_args):
        return MODELS[name](num_input_channels, **model_args)


class TakesTheNearest(Toys):
    def create(self, name, **arguments):
        return super().create(name.partition("-")[0], **arguments)


class DoesNotSayWhich(Toys):
    def create(self, name, *, num_input_channels, model_args):
        if name not in MODELS:
            raise UnknownModelError("there is no such model")
        if model_args:
            raise ConfigError("wrong arguments")
        return MODELS[name](num_input_channels)


class PassesOverArguments(Toys):
    def create(self, name, **arguments):
        return super().create(name, **{**arguments, "model_args": {}})


class RefusesOddSides(Toys):
    any_size = ("to*", "co*")

    def create(self, name, **arguments):
        wrapper = super().create(name, **arguments)
        forward = wrapper.forward_features

        def refuse(images):
            if name == "conv" and images.shape[3] % 4:
                raise ValueError("the width has to be a multiple of 4")
            return forward(images)

        wrapper.forward_features = refuse
        return wrapper


class HasAPatternTooMany(Toys):
    any_size = ("c*", "resnet*")


class SnippetWithoutModel(Toys):
    def snippet(self, name, **arguments):
        return super().snippet(name, **arguments) + "\nnetwork = model\ndel model"


class SnippetLoadsNothing(Toys):
    def snippet(self, name, **arguments):
        return super().snippet(name, **arguments).partition("model.load")[0]


class SnippetForgetsChannels(Toys):
    def snippet(self, name, **arguments):
        return super().snippet(name, **{**arguments, "num_input_channels": 3})


class SnippetOfAnotherModel(Toys):
    def snippet(self, name, **arguments):
        code = super().snippet(name, **arguments).partition("model.load")[0]
        return code + "model = torch.nn.Linear(2, 2)"


class SavesHalf(Toys):
    def save(self, module, path):
        state = {n: v.half().to(v.dtype) for n, v in module.state_dict().items()}
        torch.save(state, path)


class SavesAPart(Toys):
    def save(self, module, path):
        torch.save(dict(list(module.state_dict().items())[1:]), path)


class TranslatesWrongly(Toys):
    def translate_weights(self, tensors, module):
        return {name: -tensor for name, tensor in tensors.items()}


FAULTS = [
    ("N1", ForgetsANewName, r"does not contain the library's own examples \['tokens'\]"),
    ("N1", OwnExampleIsGone, r"does not contain the library's own examples \['old'\]"),
    ("N2", KeyErrorForUnknown, r"create\('conv-no-such-model'\) raised KeyError"),
    ("N2", TakesTheNearest, r"create\('conv-no-such-model'\) returned a model"),
    ("N2", DoesNotSayWhich, "does not name it: there is no such model"),
    ("N3", KeyErrorForUnknown, "raised TypeError .*no_such_argument.*, expected ConfigError"),
    ("N3", PassesOverArguments, r"model_args \{'no_such_argument': 1\} were accepted"),
    ("N3", DoesNotSayWhich, "does not name 'no_such_argument': wrong arguments"),
    ("N4", RefusesOddSides, "any_size .* fits 'conv', which does not .* a multiple of 4"),
    ("N4", HasAPatternTooMany, r"'resnet\*', which fits no listed model"),
    ("E1", SnippetWithoutModel, "expected a module called 'model' from the snippet, got NoneType"),
    ("E1", SnippetLoadsNothing, "differ from the saved ones"),
    ("E1", SnippetForgetsChannels, "size mismatch"),
    ("E1", SnippetOfAnotherModel, r"\(3 channels\) lacks .*, has extra \['bias', 'weight'\]"),
    ("E1", SavesHalf, "differ from the saved ones"),
    ("E1", SavesAPart, "Missing key"),
    ("E2", SavesHalf, r"\.pt changed \d+ tensors"),
    ("E2", SavesAPart, r"\.pt loads incompletely: .*not in the file"),
    ("E2", TranslatesWrongly, r"\.pt changed \d+ tensors"),
]


@pytest.mark.parametrize(("code", "library", "message"), FAULTS)
def test_check_finds_the_fault(install, code, library, message):
    install(library)
    with pytest.raises(Exception, match=message):
        run(code)


def test_a_listed_name_that_the_library_does_not_know_is_found(install):
    install(names=("conv", "tokens", "dropped"))
    with pytest.raises(
        AssertionError, match=r"1 of its names are missing in names\(\): \['dropped'\]"
    ):
        run("N1")
    install(names=("conv", "tokens", "dropped"), complete=False)
    run("N1")


def test_every_check_is_shown_to_find_a_fault():
    # That of N5 is in the file of facts, see above.
    assert {code for code, _, _ in FAULTS} | {"N5"} == set(LIBRARY_CODES)


class Object(Toys):
    """The library's own object around a model, as some libraries load it."""

    def snippet(self, name, **arguments):
        code = super().snippet(name, **arguments)
        return code + "\nmodel = torch.nn.ModuleDict({'inner': model})"


class OtherLayout(Toys):
    """Saves under other names, and builds a model that has them."""

    def save(self, module, path):
        torch.save({f"old_{name}": tensor for name, tensor in module.state_dict().items()}, path)

    def translate_weights(self, tensors, module):
        return {name.removeprefix("old_"): tensor for name, tensor in tensors.items()}

    def snippet(self, name, *, file, **arguments):
        return f"""import torch
state = torch.load({str(file)!r}, weights_only=True)
model = torch.nn.Module()
for name, tensor in state.items():
    part = model
    *path, last = name.split('.')
    for step in path:
        part.add_module(step, getattr(part, step, torch.nn.Module()))
        part = getattr(part, step)
    part.register_buffer(last, tensor)
"""


@pytest.mark.parametrize("library", [Object, OtherLayout])
@pytest.mark.parametrize("code", ["E1", "E2"])
def test_a_model_in_the_librarys_own_object_or_layout_is_the_same_model(install, library, code):
    install(library)
    run(code)

import sys

import pytest

HEAD = """
from lightly_core.plugins.records import LoggerRecord, MethodRecord, ModelsRecord, TransformRecord
from lightly_core import LoggerRecord, MethodRecord, ModelsRecord, TransformRecord, hookimpl

LIGHTLY_API = 2

@hookimpl
def lightly_register(catalog):
"""

PROVIDES = {
    "models": """
    catalog.add(ModelsRecord(
        name="toys",
        target="PACKAGE.parts:Toys",
        names=("conv", "wide"),
        complete=COMPLETE,
        summary="Toys.",
    ))
""",
    "method": """
    catalog.add(MethodRecord(
        name="near",
        target="PACKAGE.parts:Near",
        config="PACKAGE.config:NearConfig",
        summary="Near.",
    ))
""",
    "transform": """
    catalog.add(TransformRecord(
        name="plain",
        target="PACKAGE.parts:Plain",
        config="PACKAGE.config:PlainArgs",
        summary="Plain.",
    ))
""",
    "logger": """
    catalog.add(LoggerRecord(
        name="lines",
        target="PACKAGE.parts:Lines",
        config="PACKAGE.config:LinesArgs",
        summary="Lines.",
    ))
""",
}

CONFIG = """
from typing import ClassVar
from attrs import define, field
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.requires import Requires, exactly
from lightly_core.config.options.transform import TransformArgs

@define(frozen=True, kw_only=True)
class NearConfig(MethodConfig):
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images_per_process=2)

    @classmethod
    def default_transform(cls):
        return TransformArgs(num_views=2, image_size=32)

@define(frozen=True, kw_only=True)
class PlainArgs(TransformArgs):
    image_size: int = field(default=32, metadata={"help": "size of a view"})

@define(frozen=True, kw_only=True)
class LinesArgs:
    name: str = field(default="lines.txt", metadata={"help": "name of the file"})
"""

PARTS = """
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.contracts import Logger, Method, ModelLibrary, StepResult
from lightly_core.testing import TinyConv

WIDTHS = {"conv": 16, "wide": 32, "unlisted": 8}

class Toys(ModelLibrary):
    examples = ("conv",)

    def create(self, name, *, num_input_channels, model_args):
        print("noise that a library makes")
        if name not in WIDTHS:
            raise UnknownModelError(f"toys has no model {name!r}, did you mean 'conv'?")
        if model_args:
            raise ConfigError(f"toys takes no {list(model_args)}")
        return TinyConv(num_input_channels, WIDTHS[name])

    def wrap(self, module, *, num_input_channels):
        raise ConfigError("built by name only")

    def names(self):
        return list(WIDTHS)

    def snippet(self, name, *, num_input_channels, model_args, file):
        return (
            "import torch\\nfrom lightly_core.testing import TinyConv\\n"
            f"model = TinyConv({num_input_channels}, {WIDTHS[name]}).get_model()\\n"
            f"model.load_state_dict(torch.load({str(file)!r}))"
        )

class Near(Method):
    def training_step(self, batch, step):
        pooled = [
            self.model.forward_pool(self.model.forward_features(view))["pooled_features"]
            for view in batch.views
        ]
        return StepResult((pooled[0] - pooled[1]).square().mean() - pooled[0].std(0).mean())

class Plain(TwoStageTransform):
    pass

class Lines(Logger):
    def __init__(self, config, folder, resume_step):
        self.file = (folder / config.name).open("w")

    def log_metrics(self, metrics, step):
        self.file.write(str(dict(metrics)))

    def finish(self, status):
        self.file.close()
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Installs a plugin called ``acme``; the arguments replace parts of its code."""

    def install(*changes, kinds=tuple(PROVIDES), complete=True):
        package = "acme_parts_" + tmp_path.name
        code = HEAD + "".join(PROVIDES[kind] for kind in kinds)
        texts = {"plugin": code, "config": CONFIG, "parts": PARTS}
        for old, new in changes:
            assert any(old in text for text in texts.values())
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        folder, information = tmp_path / package, tmp_path / "lightly_acme-1.0.dist-info"
        folder.mkdir()
        information.mkdir()
        (folder / "__init__.py").touch()
        for name, text in texts.items():
            text = text.replace("PACKAGE", package).replace("COMPLETE", str(complete))
            (folder / f"{name}.py").write_text(text)
        (information / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: lightly-acme\nVersion: 1.0\n"
        )
        (information / "entry_points.txt").write_text(
            f"[lightly.plugins]\nacme = {package}.plugin\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("LIGHTLY_PLUGINS", "acme")

    yield install
    for name in [name for name in sys.modules if name.startswith("acme_parts_")]:
        del sys.modules[name]


@pytest.mark.slow
def test_all_checks_that_apply_are_run_and_counted_without_pytest(run, plugin, monkeypatch):
    plugin()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pytest", None)
        code, out, err = run("plugin", "check", "acme")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[-2:] == ["", f"acme (lightly-acme 1.0): {len(lines) - 2} checks passed"]
    assert all(line.startswith("ok    ") for line in lines[:-2])
    codes = [line[6:].partition("-")[0] for line in lines[:-2]]
    assert [code for code in codes if code[0] != "A"] == [  # A: what only some models can do
        *(f"P{number}" for number in range(1, 7)),
        *("N1", "N2", "N4", "N3", "N5", "E1", "E2"),
        *(f"W{number}" for number in range(1, 14)),
        *(f"M{number}" for number in range(1, 12)),
        *("T1", "T2", "T3", "T4", "T5"),
        *(f"L{number}" for number in range(1, 8)),
    ]
    assert lines[0] == "ok    P1-entry_point_resolves (plugin 'acme')"
    assert "ok    W5-eval_twice_gives_the_same_bits (model library 'toys', conv)" in lines
    assert "ok    M6-same_seed_same_losses (method 'near')" in lines


@pytest.mark.slow
def test_a_check_that_fails_is_shown_with_its_message_and_ends_with_code_1(run, plugin):
    plugin(
        ("model.load_state_dict(", "dict("),
        ('raise ConfigError(f"toys', 'return (f"toys'),
        kinds=["models"],
    )
    code, out, _ = run("plugin", "check", "lightly-acme", "--model", "wide")
    assert code == 1
    lines = out.splitlines()
    first = lines.index("FAIL  N3-unknown_model_args_are_refused (model library 'toys', wide)")
    message = "      model_args {'no_such_argument': 1} were accepted, expected ConfigError"
    assert lines[first + 1] == message
    assert sum(line.startswith("FAIL  ") for line in lines) == 2
    assert "Traceback" not in out
    checks = [line for line in lines if line.startswith(("ok  ", "FAIL"))]
    assert lines[-1] == f"acme (lightly-acme 1.0): 2 of {len(checks)} checks failed"


@pytest.mark.slow
def test_a_failure_of_another_type_is_named_and_traceback_shows_where(run, plugin):
    plugin(
        ("self.file.write(str(dict(metrics)))", "raise RuntimeError('disk full\\nor so')"),
        kinds=["logger"],
    )
    code, out, err = run("plugin", "check", "acme", "--traceback")
    assert code == 1
    assert (
        "FAIL  L1-takes_scalars_at_rising_steps (logger 'lines')\n"
        "      RuntimeError: disk full\n      or so\n"
    ) in out
    assert "in log_metrics" in err


@pytest.mark.slow
def test_what_cannot_be_built_from_its_defaults_is_left_out_with_the_reason(run, plugin):
    plugin(
        ("self.file = (folder", "raise OSError('no such server')  # (folder"),
        ("class Plain(TwoStageTransform):\n    pass", NEEDS_A_PATH),
        kinds=["transform", "logger"],
    )
    code, out, _ = run("plugin", "check", "acme")
    assert code == 0
    told = "cannot be built from its default options:"
    assert f"skip  logger 'lines': {told} OSError: no such server\n" in out
    assert f"skip  transform 'plain': {told} ConfigError: a path is needed\n" in out
    assert "(logger 'lines')" not in out


@pytest.mark.slow
def test_constructors_that_take_other_arguments_than_a_run_gives_are_failures(run, plugin):
    plugin(
        ("def __init__(self, config, folder, resume_step):", "def __init__(self, folder):"),
        ("class Plain(TwoStageTransform):\n    pass", TAKES_NOTHING),
        kinds=["transform", "logger"],
    )
    code, out, _ = run("plugin", "check", "acme")
    assert code == 1
    assert "FAIL  logger 'lines' cannot be checked\n      TypeError: " in out
    assert "FAIL  transform 'plain' cannot be checked\n      TypeError: " in out


TAKES_NOTHING = """
class Plain(TwoStageTransform):
    def __init__(self):
        pass
"""


NEEDS_A_PATH = """
class Plain(TwoStageTransform):
    def __init__(self, args):
        raise ConfigError("a path is needed")
"""


@pytest.mark.slow
def test_a_plugin_that_is_broken_fails_its_own_checks(run, plugin):
    plugin(("LIGHTLY_API = 2", "import no_such_module"))
    code, out, _ = run("plugin", "check", "acme")
    assert code == 1
    assert out.startswith(
        "FAIL  P1-entry_point_resolves (plugin 'acme')\n      plugin 'acme' is fail"
    )
    assert "toys" not in out


@pytest.mark.slow
def test_a_target_that_cannot_be_imported_is_a_failure_and_the_rest_is_checked(run, plugin):
    plugin(("PACKAGE.parts:Toys", "PACKAGE.parts:Gone"), kinds=["models", "logger"])
    code, out, _ = run("plugin", "check", "acme")
    assert code == 1
    assert "FAIL  model library 'toys' cannot be checked\n      PluginError: target" in out
    assert "ok    L1-" in out


@pytest.mark.slow
def test_the_models_to_try_can_be_chosen(run, plugin):
    plugin(kinds=["models"])
    names = ("--model", "wide", "--model", "toys/conv")
    code, out, _ = run("plugin", "check", "acme", *names)
    assert code == 0
    assert "ok    W1-feature_map_has_feature_dim_channels (model library 'toys', wide)" in out
    assert "ok    W1-feature_map_has_feature_dim_channels (model library 'toys', conv)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: the following arguments are required: NAME\n  see `lightly plugin check --h"),
        (("acne",), "error: unknown plugin 'acne'\n  did you mean 'acme'?  installed: "),
        (("xyzxyz",), "error: unknown plugin 'xyzxyz'\n  installed: "),
        (("acme", "--model", "wid"), "error: model library 'toys' has no model 'wid'\n"
         "  did you mean 'wide'?"),
        (("acme", "--model", "toys/"), "error: model library 'toys' has no model 'toys/'"),
        (("acme", "--no-plugin", "acme"), "error: plugin 'acme' is blocked: --no-plugin acme\n"),
        (("acme", "--modl", "x"), "error: unknown option '--modl', did you mean '--model'?"),
    ],
)  # fmt: skip
def test_a_mistake_ends_with_code_2(run, plugin, arguments, message):
    plugin()
    code, out, err = run("plugin", "check", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)


def test_a_name_that_only_the_library_knows_is_tried(run, plugin):
    plugin(complete=False)
    code, out, err = run("plugin", "check", "acme", "--model", "convv")
    assert (code, out) == (2, "")
    assert err == "error: toys has no model 'convv', did you mean 'conv'?\n"


def test_models_of_a_plugin_that_has_none_are_a_mistake(run, plugin):
    plugin(kinds=["method"])
    code, _, err = run("plugin", "check", "acme", "--model", "resnet18")
    assert code == 2
    assert err == "error: --model is given, but this plugin provides no models; remove it\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: expected a command: check, new\n"),
        (("chek",), "error: unknown command 'plugin chek', did you mean 'check'?\n"),
    ],
)
def test_the_sub_command_is_needed(run, arguments, message):
    code, out, err = run("plugin", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)


def test_help_names_the_sub_commands(run):
    code, out, err = run("plugin", "--help")
    assert (code, err) == (0, "")
    assert "\n  check  check everything that a plugin provides\n" in out

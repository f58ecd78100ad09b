import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["out=a", "data=b"], (None, ["out=a", "data=b"], False)),
        (["out=a", "--dry-run", "data=b"], (None, ["out=a", "data=b"], "table")),
        (["out=a", "--json", "--dry-run"], (None, ["out=a"], "json")),
        (["out=a", "--dry-run", "--toml"], (None, ["out=a"], "toml")),
        (["--profile", "out=a"], (None, ["out=a", "profile=true"], False)),
        (["out=a", "--dry-run", "--build"], (None, ["out=a"], "build")),
        (["--config", "f.toml"], ("f.toml", [], False)),
        (["out=a", "--config=f.toml", "x.y=-1"], ("f.toml", ["out=a", "x.y=-1"], False)),
        (["out=a b", "x=--y=1", "z="], (None, ["out=a b", "x=--y=1", "z="], False)),
    ],
)
def test_settings_reach_the_run_as_they_were_typed(run, training, words, expected):
    assert run("run", *words) == (0, "", "")
    assert training.arguments == [expected]


def test_options_of_all_commands_may_stand_anywhere(run, training, monkeypatch):
    from lightly_core.plugins import discovery

    seen = []
    monkeypatch.setattr(discovery, "configure", lambda **options: seen.append(options))
    run("--no-plugin", "a", "run", "out=x", "--strict-plugins", "data=y", "--no-plugin", "b")
    assert training.arguments == [(None, ["out=x", "data=y"], False)]
    assert seen == [{"block": ["a", "b"], "strict": True}]


@pytest.mark.parametrize(
    ("name", "warning"),
    [("pretrain", ""), ("train", "warning: `lightly train` is deprecated, use `lightly run`\n")],
)
def test_other_names_of_run(run, training, name, warning):
    assert run(name, "out=a") == (0, "", warning)
    assert training.arguments == [(None, ["out=a"], False)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs=10"], "unknown option '--epochs=10': settings have no dashes, write epochs=10"),
        (["--epochs", "10"], "unknown option '--epochs': settings have no dashes, write epochs=10"),
        (["--batch-size", "4"], "write batch_size=4"),
        (["--optim-args.lr=1", "a=b"], "write optim_args.lr=1"),
        (["--epochs", "a=b"], "write epochs=VALUE"),
        (["--overwrite"], "write overwrite=true"),
        (["-e", "10"], "write e=10"),
        (["--dryrun"], "unknown option '--dryrun', did you mean '--dry-run'?"),
        (["--conf=f.toml"], "unknown option '--conf=f.toml', did you mean '--config'?"),
        (
            ["--config", "a.toml", "--config=b.toml"],
            "--config is given twice: 'a.toml' and",
        ),
        (["out=a", "--build"], "--build is for --dry-run"),
        (["out=a", "--toml"], "--toml is for --dry-run"),
        (["out=a", "--dry-run", "--json", "--toml"], "--json and --toml are two forms"),
        (["run.toml"], "expected key=value, got 'run.toml': write --config run.toml"),
        (["images"], "expected key=value, got 'images'"),
        (["=3"], "expected key=value, got '=3'"),
    ],
)
def test_what_is_no_setting_is_answered_with_how_to_write_it(run, training, words, message):
    code, out, err = run("run", "out=a", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") or f"{message}\n" in err
    assert err.count("\n") == 1
    assert training.arguments == []


def test_all_wrong_words_are_told_at_once(run, training):
    _, _, err = run("run", "--epochs", "10", "images", "out=a", "--seed=3")
    assert err == (
        "error: 3 settings are wrong:\n"
        "  unknown option '--epochs': settings have no dashes, write epochs=10\n"
        "  expected key=value, got 'images'\n"
        "  unknown option '--seed=3': settings have no dashes, write seed=3\n"
    )


# ----------------------------------------------------------------------------- help


@pytest.fixture
def plugins(monkeypatch):
    """One method in the catalog, whose options are a class of this module."""
    from lightly_core.plugins import discovery, loading
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import MethodRecord

    catalog = Catalog()
    with catalog.registering(plugin="acme", distribution="acme", version="2.0", root="acme"):
        catalog.add(
            MethodRecord(name="acme", target="acme.m:M", config="acme.c:C", summary="A method.")
        )
    fake = discovery.Plugins(catalog, (), None)
    monkeypatch.setattr(discovery, "get_plugins", lambda: fake)
    monkeypatch.setattr(loading, "load_config", lambda record: method_config())


def method_config():
    from attrs import define, field

    from lightly_core.config.options.method import MethodConfig
    from lightly_core.config.options.optim import OPTIMIZERS
    from lightly_core.config.options.transform import TransformArgs

    @define(frozen=True, kw_only=True)
    class AcmeConfig(MethodConfig):
        optimizer = "sgd"
        glow: float = field(default=0.25, metadata={"help": "how much it glows"})

        @classmethod
        def default_transform(cls):
            return TransformArgs(random_gray_scale=0.125)

        @classmethod
        def default_optimizer(cls, name):
            return OPTIMIZERS[name](lr=0.0625)

    return AcmeConfig


def test_help_lists_the_settings(run, plugins):
    code, out, err = run("run", "--help")
    assert (code, err) == (0, "")
    assert "--dry-run" in out
    for name in ("out", "data", "model", "method", "batch_size", "max_skipped"):
        assert f"\n  {name} (" in out
    assert "method_args." not in out


def test_help_on_a_method_adds_its_options_and_defaults(run, plugins):
    code, out, err = run("run", "method=acme", "--help")
    assert (code, err) == (0, "")
    assert "method=acme (acme 2.0): A method." in out
    assert "  method_args.glow (float, default 0.25)\n      how much it glows\n" in out
    assert "  transform_args.random_gray_scale (float or None, default 0.125)\n" in out
    assert "\noptim=sgd\n" in out
    assert "  optim_args.lr (float, default 0.0625)\n" in out
    assert "  optim_args.nesterov" in out


def test_help_on_a_method_follows_the_optimizer(run, plugins):
    _, out, _ = run("run", "-h", "method='acme'", "optim=adamw")
    assert "\noptim=adamw\n" in out
    assert "  optim_args.betas" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("method=acm",), "error: unknown method 'acm'\n  did you mean 'acme'?"),
        (
            ("method=acme", "optim=adamww"),
            "error: unknown optimizer 'adamww', did you mean 'adamw'?\n"
            "  known: auto, adamw, adam, sgd, lars\n",
        ),
    ],
)
def test_help_on_what_is_unknown(run, plugins, words, message):
    code, _, err = run("run", *words, "--help")
    assert code == 2
    assert err.startswith(message)


def test_help_on_a_method_whose_options_are_of_the_wrong_kind(run, plugins, monkeypatch):
    from lightly_core.plugins import loading

    monkeypatch.setattr(loading, "load_config", lambda record: int)
    code, _, err = run("run", "method=acme", "--help")
    assert code == 2
    assert "expected a subclass of MethodConfig, got <class 'int'>" in err

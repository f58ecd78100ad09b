import pytest

from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError
from lightly_wandb.account import is_offline, require_account
from lightly_wandb.config import WandbArgs
from lightly_wandb.destination import flat


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projct": "x"}, "did you mean 'project'"),
        ({"mode": "onlin"}, "mode"),
        ({"mode": "online", "offline": True}, "contradicts"),
        ({"mode": "offline", "offline": False}, "contradicts"),
        ({"resume": "must"}, "needs the 'id'"),
        ({"id": "a/b"}, "letters, digits"),
        ({"log_model": "all"}, "set it to true"),
        ({"checkpoint_name": "best"}, "log_model=true"),
        ({"name": ""}, "must not be empty"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=r"config\.loggers\.wandb") as error:
        structure(options, WandbArgs, path="config.loggers.wandb")
    assert message in str(error.value)


def test_the_options_of_lightnings_logger_are_accepted():
    options = {
        "project": "digits",
        "name": "first",
        "entity": "team",
        "group": "a",
        "tags": ["x"],
        "notes": "n",
        "mode": "offline",
        "offline": True,
        "log_model": True,
        "id": "abc",
        "resume": "allow",
        "prefix": "a-",
        "checkpoint_name": "digits",
    }
    read = structure(options, WandbArgs, path="wandb")
    assert {name: getattr(read, name) for name in options} == options


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({}, {}, False),
        ({}, {"WANDB_MODE": "offline"}, True),
        ({"mode": "online"}, {"WANDB_MODE": "offline"}, False),
        ({"offline": True}, {}, True),
    ],
)
def test_options_come_before_the_environment(options, environment, expected):
    assert is_offline(WandbArgs(**options), environment) is expected


def test_without_a_key_online_is_refused_and_offline_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="WANDB_API_KEY"):
        require_account(WandbArgs(), {})
    require_account(WandbArgs(mode="offline"), {})
    require_account(WandbArgs(), {"WANDB_API_KEY": "k"})
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password k\n")
    require_account(WandbArgs(), {})
    with pytest.raises(ConfigError):
        require_account(WandbArgs(), {"WANDB_BASE_URL": "http://127.0.0.1:8080"})


def test_settings_become_flat():
    config = {"a": {"b": {"c": 1}, "d": []}, "e": None, "f": {}}
    assert flat(config) == {"a.b.c": 1, "a.d": [], "e": None, "f": {}}

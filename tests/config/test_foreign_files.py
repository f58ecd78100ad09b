"""Settings files in YAML and JSON are named as such, and shown in TOML."""

import json

import pytest

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.config.reading.toml_parser import tomllib
from lightly_core.errors import ConfigError

YAML = """\
out: out/mine
data: [a, b]
seed: null
optim_args:
  lr: 1e-3
  betas: [0.9, 0.95]
transform_args:
  random_flip: {horizontal_prob: 0.5}
compile: true
"""
SETTINGS = {
    "out": "out/mine",
    "data": ["a", "b"],
    "optim_args": {"lr": 1e-3, "betas": [0.9, 0.95]},
    "transform_args": {"random_flip": {"horizontal_prob": 0.5}},
    "compile": True,
}


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_toml(tmp_path / name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("run.yaml", YAML, "YAML"),
        ("run.YML", YAML, "YAML"),
        ("run.json", json.dumps({**SETTINGS, "seed": None}, indent=2), "JSON"),
        ("run.cfg", json.dumps({**SETTINGS, "seed": None}), "JSON"),
    ],
)
def test_the_message_has_the_same_settings_in_toml(tmp_path, name, text, kind):
    first, _, *lines = read(tmp_path, name, text).splitlines()
    assert f"{name}' is {kind}; settings are read from TOML" in first
    assert tomllib.loads("\n".join(lines)) == SETTINGS
    assert lines[-1].startswith("# seed is null")


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "a: [1"), ("a.yml", "- 1"), ("a.json", "{")])
def test_a_file_that_cannot_be_read_is_named_with_what_to_write(tmp_path, name, text):
    message = read(tmp_path, name, text)
    assert "settings are read from TOML\n  write key = value" in message


def test_a_long_file_is_shown_in_part(tmp_path):
    message = read(tmp_path, "a.json", json.dumps({f"key{n}": n for n in range(100)}))
    assert message.endswith("key59 = 59\n# and 40 more lines")

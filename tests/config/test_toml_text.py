"""What is written as TOML is read back unchanged."""

import math
import random
import sys

import pytest

from lightly_core.config.reading.toml_text import toml_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOSTILE = [
    *('"', "'", '"""', "\\", "\\n", "C:\\Users\\x", "a\nb", "\r", "\t", "\x00", "\x1f", "\x7f"),
    *("", " ", "# no comment", "[a]", "a = 1", "true", "none", "1.5", "1979-05-27", "ü", "\u2028"),
    *("\U0001f600", "\ufeff", "é", "{}", "a.b", "a b"),
]


def test_hostile_texts_are_read_back_as_keys_and_as_values():
    values = {text: text for text in HOSTILE}
    tables = {text: {"x": text, "list": [text, text]} for text in HOSTILE}
    given = {"values": values, **{f"t{k}": table for k, table in tables.items()}}
    assert tomllib.loads(toml_text(given)) == given


def test_numbers_words_and_empty_tables_are_read_back():
    given = {
        "numbers": [0, -1, 2**70, 1e-5, 1e16, 0.1 + 0.2, -0.0, math.inf, -math.inf],
        "words": [True, False],
        "empty": {},
        "deep": {"empty": {}, "deeper": {"a": 1}},
        "list": [],
        "inline": [{"a": 1, "b c": [2]}, {}],
    }
    assert tomllib.loads(toml_text(given)) == given


def test_random_texts_are_read_back():
    rng = random.Random(0)
    letters = [chr(code) for code in [*range(0x180), *range(0x2000, 0x2030), 0xFFFD, 0x1F600]]
    for _ in range(200):
        text = "".join(rng.choices(letters, k=8))
        assert tomllib.loads(toml_text({text: text})) == {text: text}


@pytest.mark.parametrize("value", [None, [None], {"a": None}, object()])
def test_what_toml_lacks_is_refused(value):
    with pytest.raises(ValueError, match="TOML has no"):
        toml_text({"a": value})

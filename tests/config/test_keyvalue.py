import math

import pytest

from lightly_core.config.reading.keyvalue import parse_pairs, parse_value, read_toml
from lightly_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("1_000", 1000),
        ("1e-3", 1e-3),
        ("true", True),
        ("True", True),
        ("False", False),
        ("none", None),
        ("None", None),
        ("null", None),
        ("[0, 1]", [0, 1]),
        ("[1,]", [1]),
        ("{a = 1}", {"a": 1}),
        ('"quoted"', "quoted"),
        ('"none"', "none"),
        ("timm/resnet18", "timm/resnet18"),
        ("/data/my images", "/data/my images"),
        ("C:\\images\\new", "C:\\images\\new"),
        ("0,1", "0,1"),
        ("0,", "0,"),
        ("-1", -1),
        ("01", "01"),
        ("", ""),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("12:30:00", "12:30:00"),
        ("[2024-01-01]", ["2024-01-01"]),
        ("5#3", "5#3"),
        ("5 # five", "5 # five"),
        ("'a#b'", "a#b"),
        ("1\nb = 2", "1\nb = 2"),
        ("a=b", "a=b"),
        ("inf", math.inf),
    ],
)
def test_values(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_is_a_float():
    assert math.isnan(parse_value("nan"))


def test_dots_nest_and_only_the_first_equals_splits():
    assert parse_pairs(["optim_args.lr=0.1", "optim_args.betas=[0.9,0.95]", "data=a=b"]) == {
        "optim_args": {"lr": 0.1, "betas": [0.9, 0.95]},
        "data": "a=b",
    }


def test_inline_tables_and_dots_join():
    assert parse_pairs(["a={b=1}", "a.c.d=2"]) == {"a": {"b": 1, "c": {"d": 2}}}


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (["a=1", "a=2"], "'a' is set twice: to 1 and to 2"),
        (["a=1", "a=1"], "'a' is set twice: to 1 and to 1"),
        (["a=1", "a.b=2"], "'a' is set twice: to 1 and by 'a.b='"),
        (["a.b=2", "a=1"], "'a' is set twice: to {'b': 2} and to 1"),
        (["a={b=1}", "a.b=2"], "'a.b' is set twice: to 1 and to 2"),
        (["a=none", "a.b=2"], "'a' is set twice: to None and by 'a.b='"),
        (["epochs"], "expected key=value, got 'epochs'"),
        (["=3"], "expected key=value, got '=3'"),
        (["a..b=3"], "expected key=value, got 'a..b=3'"),
        (["--out=x"], "settings are written without dashes: 'out=x', got '--out=x'"),
    ],
)
def test_conflicts_and_other_mistakes(tokens, line):
    with pytest.raises(ConfigError) as caught:
        parse_pairs(tokens)
    assert caught.value.problems == (line,)


def test_all_bad_words_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_pairs(["epochs", "a=1", "a=2"])
    assert len(caught.value.problems) == 2


def test_read_toml(tmp_path):
    file = tmp_path / "run.toml"
    file.write_bytes(b'\xef\xbb\xbfdata = "../images"\n[optim_args]\nlr = 0.1\n')
    assert read_toml(str(file)) == {"data": "../images", "optim_args": {"lr": 0.1}}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml' does not exist"):
        read_toml(tmp_path / "nothing.toml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)


def test_a_name_that_no_file_can_have_is_no_traceback():
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml("a\0b")


def test_a_file_in_another_encoding_says_how_to_save_it(tmp_path):
    (tmp_path / "run.toml").write_text("data = 'é'", encoding="utf-16")
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        read_toml(tmp_path / "run.toml")


def test_a_syntax_error_names_file_and_line(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("a = 1\nb = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.toml' is not valid TOML: .*line 2"):
        read_toml(file)


def test_a_key_that_is_set_twice_is_a_syntax_error(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("a = 1\na = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(file)

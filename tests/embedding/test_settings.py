"""Mistakes in the settings are reported before anything is imported or written."""

import importlib.util
import os
import subprocess
import sys

import pytest

import lightly_core
from lightly_core.cli.main import main
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.embedding import checks


@pytest.fixture
def problems(tmp_path):
    """Run the checks on settings of which only a few are given."""
    (tmp_path / "data").mkdir()

    def problems(**changes):
        settings = {"model": "a/b", "data": str(tmp_path / "data"), "out": str(tmp_path / "x.csv")}
        return checks.embed_problems(EmbedConfig(**{**settings, **changes}))

    return problems


@pytest.mark.parametrize(
    ("out", "file_format", "expected"),
    [
        ("x.csv", "auto", "csv"),
        ("x.CSV", "auto", "csv"),
        ("x.pt", "auto", "torch"),
        ("x.npz", "auto", "npz"),
        ("x.parquet", "auto", "parquet"),
        ("x.bin", "torch", "torch"),
        ("x.csv", "npz", "npz"),
        ("x.txt", "auto", ""),
        ("x", "auto", ""),
    ],
)
def test_the_format_follows_from_the_setting_or_the_ending(out, file_format, expected):
    config = EmbedConfig(model="a/b", data="c", out=out, format=file_format)
    assert checks.output_format(config) == expected


def test_nothing_is_said_against_good_settings(problems):
    assert problems() == []
    assert problems(out="not/yet/there.npz", features="patch") == []


def test_an_unknown_ending(problems):
    (problem,) = problems(out="x.txt")
    assert problem.startswith("config.out: ")
    assert "'x.txt'" in problem
    for ending, file_format in (("csv", "csv"), ("pt", "torch"), ("npz", "npz")):
        assert f".{ending}" in problem
        assert f"format={file_format}" in problem


def test_a_file_that_exists(problems, tmp_path):
    out = tmp_path / "x.csv"
    out.write_text("")
    (problem,) = problems()
    assert problem.startswith("config.out: ")
    assert "x.csv' exists already" in problem
    assert problems(overwrite=True) == []
    (problem,) = problems(out=str(tmp_path / "data"), format="csv", overwrite=True)
    assert "is a folder" in problem
    (problem,) = problems(out=str(out / "below" / "y.csv"))
    assert f"as '{out}' is a file" in problem


def test_patches_in_a_table(problems):
    (problem,) = problems(features="patch")
    assert problem.startswith("config.features: ")
    assert "write to a .npz, .pt or .parquet file" in problem


def test_parquet_without_pyarrow(problems, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pyarrow" else find(name)
    )
    (problem,) = problems(out="x.parquet")
    assert problem.endswith("pip install pyarrow")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "csv"}, "config.format: got csv with shard_size"),
        ({"out": "data"}, "config.out: the folder "),
        ({"out": "data/x.png"}, "config.out: expected a folder with shard_size"),
        (
            {"shard_size": None, "out": "x.csv", "devices": 2},
            "config.devices: got 2, but one file is written by",
        ),
        ({"shard_size": None, "out": "data", "format": "parquet"}, "for a folder of Parquet files"),
        ({"model": PythonObject(1), "devices": 2}, "the Python object of `model` cannot be passed"),
    ],
)
def test_settings_of_a_folder_of_files(changes, message, problems, tmp_path):
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "x.png").touch()
    given = {"out": "features", "shard_size": 9, **changes}
    (problem,) = problems(**{**given, "out": str(tmp_path / given["out"])})
    assert message in problem
    assert problems(out=str(tmp_path / "features"), shard_size=9, devices=2) == []


def test_processes_of_a_launcher_are_not_those_of_devices(problems, monkeypatch, tmp_path):
    for name, value in {"WORLD_SIZE": 4, "RANK": 1, "LOCAL_WORLD_SIZE": 4, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    given = {"out": str(tmp_path / "features"), "shard_size": 9}
    assert problems(**given) == problems(**given, devices=4) == problems(**given, devices="auto")
    (problem,) = problems(**given, devices=2)
    assert "started 4 process(es) on this machine; remove the setting" in problem


def test_all_mistakes_are_told_at_once(problems):
    assert len(problems(out="x.txt", data="nowhere")) == 2
    assert len(problems(features="patch", data="nowhere")) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=a/b", "checkpont=x"], "did you mean 'checkpoint'?"),
        (["model=a/b", "batchsize=3"], "did you mean 'batch_size'?"),
        (["model=a/b", "features=pooling"], "did you mean 'pooled'?"),
        (["model=a/b", "format=parket"], "did you mean 'parquet'?"),
        (["model=a/b", "max_skipped=3"], "max_skipped"),
        (["model=a/b", "batch_size=0"], "batch_size"),
        (["--overwrite"], "write overwrite=true"),
        ([], "model"),
    ],
)
def test_the_command_names_the_mistake_and_ends_with_2(
    words, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code = main(["embed", "data=builtin:digits", "out=x.csv", *words])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_wrong_setting_costs_no_import_of_torch(tmp_path):
    code = (
        "import sys; from lightly_core.cli.main import main\n"
        "code = main(['embed', 'model=a/b', 'data=nowhere', 'out=x.csv'])\n"
        "print(code, [name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "2 []", done.stderr


def test_help_names_all_settings(capsys):
    assert main(["embed", "--help"]) == 0
    out = capsys.readouterr().out
    for word in ("--config", "model (", "l2_normalize (", "max_skipped (", "lightly embed model="):
        assert word in out


@pytest.mark.slow
def test_the_command_writes_what_python_writes(image_folder, tmp_path, capsys):
    settings = {"model": "timm/test_vit", "image_size": 32, "batch_size": 5}
    lightly_core.embed(data=image_folder, out=tmp_path / "a.csv", num_workers=0, **settings)
    (tmp_path / "embed.toml").write_text(f"data = '{image_folder}'\nbatch_size = 5\n")
    words = ["model=timm/test_vit", "image_size=32", f"out={tmp_path / 'b.csv'}"]
    config = str(tmp_path / "embed.toml")
    assert main(["embed", "--config", config, *words, "num_workers=0"]) == 0
    assert "Embedded 12 images" in capsys.readouterr().out
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[1].startswith("a/00.png,")
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()

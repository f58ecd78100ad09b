"""Every row of the tables of docs/migrating.md is read on our side."""

import re
from pathlib import Path

import pytest
from short_run import write_images

from lightly_core.cli.main import ALIASES, COMMANDS
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.options.export import ExportConfig
from lightly_core.config.options.extract import ExtractConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.config.reading.load import load_settings
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import get_plugins

PAGE = Path(__file__).parents[2] / "docs/migrating.md"
TEXT = PAGE.read_text(encoding="utf-8")
SAME, REFUSED = "the same", "refused"
#: Option class by command.
CLASSES = {"embed": EmbedConfig, "export": ExportConfig, "evaluate": EvaluateConfig}
RUN = {"out": "out/x", "data": "builtin:digits", "model": "torchvision/resnet18"}


def rows(*titles):
    """Return the cells of the rows of the tables below some headings."""
    found = []
    for title in titles:
        section = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.M | re.S)[1]
        lines = [line for line in section.splitlines() if line.startswith("|")][2:]
        found += [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]
    return found


def code(cell):
    return cell[1:-1] if cell.startswith("`") and cell.endswith("`") else None


def settings(text):
    return eval(f"dict({text})")


RUN_ROWS = rows(
    "Settings of `pretrain`",
    "Arguments of methods",
    "`transform_args`",
    "`callbacks` and `loggers`",
)
COMMAND_ROWS = [
    (command, *row[:2]) for command in ("embed", "export") for row in rows(f"`{command}`")
]


def read_options(cls, **given):
    """Read the settings of a command."""
    with loaded_options(cls, **given):
        pass


def check(read, theirs, here):
    """Read the code of a row: that of the first column where the second is no code."""
    if here == REFUSED:
        with pytest.raises(ConfigError) as caught:
            read(settings(code(theirs)))
        # No key is guessed: the reason is given.
        assert not re.search("unknown key .*did you mean", str(caught.value))
    elif here == SAME:
        read(settings(code(theirs)))
    else:
        read(settings(code(here)))
        with pytest.raises(ConfigError):
            read(settings(code(theirs)))


@pytest.mark.filterwarnings("ignore:the setting 'resume':FutureWarning")
@pytest.mark.parametrize("row", RUN_ROWS, ids=lambda row: row[0][:60])
def test_a_row_of_a_run_is_read(row):
    catalog = get_plugins().catalog
    check(lambda given: load_settings(catalog=catalog, arguments={**RUN, **given}), *row[:2])


@pytest.mark.parametrize("row", COMMAND_ROWS, ids=lambda row: row[1][:60])
def test_a_row_of_a_command_is_read(row):
    command, theirs, here = row
    check(lambda given: read_options(CLASSES[command], arguments=given), theirs, here)


@pytest.mark.parametrize("row", rows("Commands and functions"), ids=lambda row: row[0])
def test_a_command_exists_with_its_settings(row):
    theirs, here = code(row[0]).split(), code(row[1]).split()
    name, deprecated = ALIASES.get(here[1], (here[1], False))
    assert name in COMMANDS or name == "--help"
    assert not deprecated
    pairs = [word for word in here[2:] if "=" in word]
    if name == "run" and pairs:
        load_settings(catalog=get_plugins().catalog, pairs=pairs)
    elif pairs:
        extra = {"videos": "videos"} if name == "extract-frames" else {}
        cls = {**CLASSES, "extract-frames": ExtractConfig}[name]
        read_options(cls, pairs=pairs, arguments=extra)
    # The names that their users type are taken.
    assert theirs[1] in {*ALIASES, *COMMANDS, "help"}


def test_the_tables_have_every_argument_of_pretrain_of_lightlytrain():
    given = {key for row in RUN_ROWS for key in settings(code(row[0]))}
    theirs = {
        *("out", "data", "model", "method", "method_args", "embed_dim", "epochs", "batch_size"),
        *("gradient_accumulation_steps", "num_workers", "devices", "num_nodes", "checkpoint"),
        *("resume_interrupted", "overwrite", "accelerator", "strategy", "precision", "seed"),
        *("float32_matmul_precision", "loggers", "callbacks", "optim", "optim_args"),
        *("transform_args", "loader_args", "trainer_args", "model_args", "resume"),
        "activation_checkpoint_args",
    }
    assert theirs - given == set()


def test_paths_on_the_page_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (PAGE.parent / target).exists(), target


@pytest.mark.slow
def test_a_script_of_lightlytrain_runs(tmp_path, monkeypatch):
    import lightly_core as lightly_train

    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()  # made by the caller, and empty
    Path("images").mkdir()
    write_images(Path("images/one"))
    write_images(Path("images/two"), seed=1)
    small = {"epochs": 1, "batch_size": 8, "num_workers": 0, "accelerator": "cpu"}
    lightly_train.pretrain(
        out="out",
        data="images",
        model="torchvision/resnet18",
        method="simclr",
        precision="32",
        optim="AdamW",
        transform_args={"image_size": (32, 32)},
        callbacks={"model_checkpoint": {"save_last": True}},
        loggers={"tensorboard": None, "wandb": None},
        **small,
    )
    last = "out/checkpoints/last.ckpt"
    lightly_train.embed(
        out="features.csv",
        data="images",
        checkpoint=last,
        format="lightly_csv",
        image_size=(32, 32),
    )
    header, first, *_ = Path("features.csv").read_text().splitlines()
    names = header.split(",")
    assert (names[0], names[1], names[-1]) == ("filenames", "embedding_0", "labels")
    assert len(first.split(",")) == len(names) == 514
    lightly_train.export(out="model.pt", checkpoint=last, part="model", format="torch_state_dict")
    assert Path("model.pt").is_file()

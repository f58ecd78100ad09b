"""The wording of the most important messages, as users see them: tests/messages.txt.

Tests elsewhere look at an error's class, the setting and the received value only. After a change
of wording, write the file anew, read the difference and commit it::

    WRITE_MESSAGES=1 pytest tests/test_messages.py
"""

import difflib
import functools
import importlib.metadata
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightly_core.cli.main import main
from lightly_core.config.auto.machine import Machine
from lightly_core.plugins import discovery
from lightly_core.version import __version__

FILE = Path(__file__).with_name("messages.txt")
HEAD = """\
Messages of lightly-core, as users see them. tests/test_messages.py compares them, and says how to
write this file anew.
"""

#: Others would appear in lists of known names.
PLUGINS = ("lightly-methods", "lightly-torchvision", "acme")
COMPLETE = "out=out data=images model=torchvision/resnet18 method=simclr"
NAMED = {word.partition("=")[0]: word for word in COMPLETE.split()}

#: What is wrong, and what is typed. Settings of `COMPLETE` that are not typed are added.
RUNS = {
    "a typo in a setting": "epoch=3",
    "a typo in an option of the method": "method_args.temprature=0.1",
    "a typo in an option of the views": "transform_args.color_jitter.strenght=1",
    "an option without its group": "temperature=0.1",
    "a wrong type": "batch_size=3.7",
    "a value out of range": "batch_size=0",
    "an unknown word": "epochs=atuo",
    "an unknown optimizer": "optim=adamww",
    "several mistakes": "epoch=3 batch_size=x optim_args.lr=-1 data=nowhere",
    "a setting with dashes": "--epochs 10",
    "a setting that is given twice": "epochs=3 epochs=4",
    "a setting of the run among those of Lightning": "trainer_args.max_epochs=3",
    "a missing folder of images": "data=nowhere",
    "an empty folder": "data=empty",
    "a folder without images": "data=documents",
    "an unknown data set of the package": "data=builtin:digit",
    "too few images": "data=single",
    "an unknown method, nearly known": "method=simclrr",
    "an unknown method": "method=dino",
    "an unknown model": "model=torchvision/resnet81",
    "a model without its library": "model=resnet18",
    "an unknown library of models": "model=keras/resnet50",
    "an unknown logger": "loggers.wandbb.project=x",
    "a logger whose plugin is not installed": "loggers.wandb.project=x",
    "a blocked plugin": "--no-plugin methods",
    "a broken plugin that is needed": "method=glow",
    "a folder that exists": "out=taken",
    "settings that exclude each other": "resume_interrupted=true overwrite=true",
    "resuming without a checkpoint": "resume_interrupted=true",
    "an unknown file of settings": "--config missing.toml",
    "a file of settings with a syntax error": "--config broken.toml",
    "a wrong value in a file of settings": "--config wrong.toml",
    "a file of settings without --config": "wrong.toml",
    "no such accelerator": "accelerator=cuda",
    "a batch that devices cannot share": "devices=3 batch_size=4",
    "missing weights": "checkpoint=nowhere.pt",
    "a model that cannot do what is asked": "activation_checkpoint_args.enabled=true",
}
OTHERS = {
    "no settings": "run",
    "an unknown command": "methdos",
    "an unknown option": "models --jsn",
    "broken plugins, strictly": "plugins --strict-plugins",
    "an unknown plugin": "plugin check simclrr",
    "features into an unknown kind of file": "embed model=torchvision/resnet18 data=images out=a.b",
    "features of a folder that is no run": "embed model=empty data=images out=a.csv",
    "an evaluation without test images": "evaluate model=torchvision/resnet18 data=images",
    "sending for a folder that is none": "send nowhere",
    "sending with a setting that is none of a logger": "send images epochs=3",
    "an unknown export format": "export model=torchvision/resnet18 out=a.onnx format=onxx",
    "an export of a folder that is no run": "export model=empty out=a.pt",
    "a part that a format cannot hold": "export model=torchvision/resnet18 out=a "
    "format=huggingface part=embedding_model",
    "an unknown suite": "benchmark missing.toml",
}


def commands():
    """Yield what is wrong and the words of the command line."""
    for title, typed in RUNS.items():
        words = typed.split()
        given = {word.partition("=")[0] for word in words}
        yield title, ["run", *(word for name, word in NAMED.items() if name not in given), *words]
    for title, typed in OTHERS.items():
        yield title, typed.split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with images, files of settings and a plugin that cannot be imported."""
    rng = np.random.default_rng(0)
    for name, number in {"images": 8, "single": 1, "empty": 0, "documents": 0, "taken": 0}.items():
        (tmp_path / name).mkdir()
        for index in range(number):
            pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    (tmp_path / "documents/notes.txt").touch()
    (tmp_path / "documents/movie.mp4").touch()
    (tmp_path / "taken/notes.txt").touch()
    (tmp_path / "broken.toml").write_text("epochs = 3\nbatch_size = \n")
    (tmp_path / "wrong.toml").write_text("batch_size = 0\n[optim_args]\nlr = -1.0\n")
    information = tmp_path / "site/acme-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[lightly.plugins]\nacme = no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def machine(folder, monkeypatch):
    """A machine without accelerators, where `PLUGINS` are installed, that of `folder` included."""
    real = importlib.metadata.distributions

    @functools.cache  # the names of all that is installed are read once, not for every command
    def installed():
        return [found for found in real() if found.name in PLUGINS]

    monkeypatch.setattr(importlib.metadata, "distributions", lambda: iter(installed()))
    monkeypatch.setattr("lightly_core.engine.images.inspect_machine", lambda: Machine(cpus=4))
    for name in [name for name in os.environ if name.startswith("LIGHTLY_")]:
        monkeypatch.delenv(name)
    discovery.configure()
    yield
    discovery.configure()


def normalized(text, folder):
    """Replace what differs between machines and releases."""
    text = text.replace(str(folder), "FOLDER").replace(__version__, "VERSION")
    return re.sub("(is not valid TOML): .*", r"\1: REASON", text)  # the reason is Python's


@pytest.mark.usefixtures("machine")
def test_messages_are_those_of_the_file(folder, capsys):
    blocks = [HEAD]
    for title, words in commands():
        code = main(words)
        out, err = capsys.readouterr()
        assert code == 2, (title, err)
        blocks.append(f"## {title}\n$ lightly {' '.join(words)}\n{normalized(out + err, folder)}")
    assert not (folder / "out").exists()
    text = "\n".join(blocks)
    if os.environ.get("WRITE_MESSAGES"):
        FILE.write_text(text, encoding="utf-8")
    expected = FILE.read_text(encoding="utf-8")
    lines = (expected.splitlines(), text.splitlines())
    difference = list(difflib.unified_diff(*lines, "messages.txt", "now", lineterm="", n=2))
    assert not difference, "\n".join(difference)

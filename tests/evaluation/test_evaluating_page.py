"""The statements of docs/evaluating.md hold."""

import re
import sys
from pathlib import Path

import attrs
import pytest

from lightly_core.config.options.evaluate import (
    EvaluateConfig,
    FinetuneProtocol,
    KnnProtocol,
    LinearProtocol,
    RetrievalProtocol,
)
from lightly_core.config.reading.command import loaded_options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = (Path(__file__).parents[2] / "docs" / "evaluating.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def load(block, tmp_path):
    (tmp_path / "evaluate.toml").write_text(block)
    with loaded_options(
        EvaluateConfig, config_file=str(tmp_path / "evaluate.toml"), pairs=["model=toy/net"]
    ) as config:
        return config


@pytest.mark.parametrize("block", BLOCKS)
def test_the_settings_are_understood(block, tmp_path):
    config = load(block, tmp_path)
    for name in ("knn", "linear", "finetune"):
        given = tomllib.loads(block).get(name)
        if given:
            read = attrs.asdict(getattr(config, name))
            plain = {k: list(v) if isinstance(v, tuple) else v for k, v in read.items()}
            assert given.items() <= plain.items()


def test_the_published_linear_protocol_is_the_default_of_sgd(tmp_path):
    (block,) = [block for block in BLOCKS if 'optim = "sgd"' in block]
    assert load(block, tmp_path).linear == LinearProtocol(solver="sgd", augment=True)
    assert load(block, tmp_path).finetune == FinetuneProtocol(optim="sgd", lr=0.05)


def test_the_versions_are_those_of_the_code():
    found = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE))
    classes = {
        "knn": KnnProtocol,
        "linear": LinearProtocol,
        "retrieval": RetrievalProtocol,
        "finetune": FinetuneProtocol,
    }
    assert found == {name: str(cls.version) for name, cls in classes.items()}

"""`lightly models`: families, one model, and what pipes get."""

import io
import json
import sys

import pytest

from lightly_core.cli.main import main
from lightly_core.listing import list_models
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.model_facts import CAPABILITIES, facts_of, group_by_family, read_facts


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """What a command shows in a wide terminal."""

    def screen(*arguments):
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "stdout", shown := Terminal())
        assert main(arguments) == 0
        monkeypatch.undo()
        return shown.getvalue()

    return screen


def facts(library):
    return read_facts(get_plugins().catalog.get("models", library))


def test_a_terminal_shows_families_and_a_pipe_gets_names(screen, run):
    rows = screen("models").splitlines()
    assert rows[0].split() == ["FAMILY", "MODELS", "PARAMETERS", "CAPABILITIES"]
    row = next(row for row in rows if row.startswith("torchvision/resnet "))
    assert row.split()[1:7] == ["5", "11.7", "M", "to", "60.2", "M"]
    assert "any size" in row
    assert run("models")[1].splitlines() == list_models()
    assert screen("models", "--all").splitlines() == list_models()


@pytest.mark.slow
def test_the_families_of_the_table_have_all_models(screen, run):
    rows = screen("models").partition("\n\n")[0].splitlines()[1:]
    assert sum(int(row.split()[1]) for row in rows) == len(list_models())
    for row in rows[:3]:
        name, number = row.split()[:2]
        assert len(run("models", "--family", name)[1].splitlines()) == int(number)


def test_a_family_is_found_with_and_without_its_library(run):
    named = run("models", "--family", "torchvision/resnet")[1].splitlines()
    assert named == [f"torchvision/resnet{n}" for n in (101, 152, 18, 34, 50)]
    assert set(named) < set(run("models", "--family", "resnet")[1].splitlines())
    code, _, err = run("models", "--family", "resnett")
    assert code == 2
    assert "there is no family 'resnett' of models, did you mean 'resnet'?" in err
    code, _, err = run("models", "resnet", "--all")
    assert code == 2
    assert err == "error: expected one of PATTERN, --all, --family, got PATTERN and --all\n"


def test_a_model_is_described(run):
    code, out, _ = run("models", "torchvision/resnet18")
    assert code == 0
    lines = {line[2:20].strip(): line[20:].strip() for line in out.splitlines()[1:]}
    # 11,689,512 is the number on torchvision's page of the model.
    assert lines["parameters"] == "11.7 M (11,689,512)"
    assert lines["feature dimension"] == "512"
    assert lines["family"].startswith("resnet: lightly models --family torchvision/resnet")
    assert lines["initial weights"].startswith("random; model_args.weights=DEFAULT")
    example = "  lightly run out=out/resnet18 data=path/to/images model=torchvision/resnet18"
    assert out.splitlines()[-1] == example


def test_names_with_weights_have_the_facts_of_their_network(run):
    plain = run("models", "timm/resnet18")[1].splitlines()
    tagged = run("models", "timm/resnet18.a1_in1k")[1].splitlines()
    assert tagged[1:6] == plain[1:6]
    assert "more names begin with it" in plain[-3]
    entry = json.loads(run("models", "timm/resnet18.a1*", "--json")[1])[0]
    assert (entry["parameters"], entry["family"]) == (11_689_512, "resnet")


@pytest.mark.parametrize(
    ("name", "parameters", "feature_dim", "capability"),
    [
        # From the papers and pages of the models.
        ("timm/resnet50", 25_557_032, 2048, "any_size"),
        ("torchvision/convnext_tiny", 28_589_128, 768, "any_size"),
        ("torchvision/vit_b_16", 86_567_656, 768, ""),
        ("dinov2/vits14", 22_058_112, 384, "tokens"),
    ],
)
def test_facts_are_those_of_the_papers(name, parameters, feature_dim, capability):
    library, _, short = name.partition("/")
    found = facts_of(short, facts(library))
    assert abs(found.parameters - parameters) <= 0.001 * parameters
    assert found.feature_dim == feature_dim
    assert capability in ("", *found.capabilities)


def test_nearly_all_models_have_a_family():
    for record in get_plugins().catalog.records("models"):
        known = read_facts(record)
        names = [name.partition("/")[2] for name in list_models(f"{record.name}/*")]
        lacking = [name for name in names if facts_of(name, known) is None]
        assert len(lacking) <= 0.15 * len(names), (record.name, lacking)
        assert all(set(found.capabilities) <= CAPABILITIES.keys() for found in known.values())


def test_models_without_facts_are_a_family_of_their_own():
    known = facts("torchvision")
    names = ["torchvision/unknown", "torchvision/vgg11", "torchvision/alexnet"]
    found = group_by_family("torchvision", names, known)
    assert [(family.name, len(family.facts)) for family in found] == [
        ("torchvision/alexnet", 1),
        ("torchvision/vgg", 1),
        ("torchvision/other", 0),
    ]

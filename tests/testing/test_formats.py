"""The checks of export formats: real formats pass, and each check notices what it is there for."""

import pytest
import torch

from lightly_core.contracts import ExportFormat, Written
from lightly_core.plugins.discovery import get_plugins
from lightly_core.testing import format_checks, parametrize_checks


@parametrize_checks(
    [check for name in ("safetensors", "torchscript") for check in format_checks(name)]
)
def test_formats_of_the_core_pass(check):
    check()


@pytest.mark.families
@pytest.mark.parametrize("name", ["timm", "ultralytics", "huggingface", "onnx", "torch_export"])
def test_all_other_formats_pass(name):
    for check in format_checks(name):
        check()


class Good(ExportFormat):
    """Writes a state dict."""

    def write(self, network, path):
        torch.save(network.module.state_dict(), path)
        return Written()

    def snippet(self, network, path):
        return f"import torch\nmodel.load_state_dict(torch.load({str(path)!r}))"

    def reload(self, network, path):
        return self.expected(network)


class Elsewhere(Good):
    def write(self, network, path):
        (path.parent / "log.txt").write_text("")
        return super().write(network, path)


class Nothing(Good):
    def write(self, network, path):
        return Written()


class Changing(Good):
    def write(self, network, path):
        next(network.module.parameters()).data.add_(1)
        return super().write(network, path)


class Different(Good):
    def reload(self, network, path):
        return lambda images: tuple(2 * tensor for tensor in self.expected(network)(images))


class BadCode(Good):
    def snippet(self, network, path):
        return "model = no_such_name"


class Refusing(Good):
    def problem(self, network):
        return "it holds nothing"


@pytest.mark.parametrize(
    ("cls", "code", "words"),
    [
        (Elsewhere, "F2", "log.txt"),
        (Nothing, "F2", "created no file"),
        (Changing, "F3", "changed weights"),
        (Different, "F4", "differs from"),
        (BadCode, "F5", "no_such_name"),
        (Refusing, "F2", "it holds nothing"),
    ],
)
def test_a_mistake_is_found(cls, code, words, monkeypatch):
    catalog = get_plugins().catalog
    monkeypatch.setattr(catalog, "records", lambda kind: ())
    monkeypatch.setattr("lightly_core.testing.formats.load_format", lambda record: cls())
    (check,) = [check for check in format_checks("torch_state_dict") if check.code == code]
    with pytest.raises(AssertionError, match=words):
        check()


def test_a_good_format_has_no_mistake(monkeypatch):
    monkeypatch.setattr(get_plugins().catalog, "records", lambda kind: ())
    monkeypatch.setattr("lightly_core.testing.formats.load_format", lambda record: Good())
    for check in format_checks("torch_state_dict"):
        check()

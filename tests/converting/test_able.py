"""Which other formats an error names."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from lightly_core.contracts.format import ExportFormat
from lightly_core.converting import run
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.records import FormatRecord


class Able(ExportFormat):
    def problem(self, network):
        return None

    def write(self, network, path):
        raise NotImplementedError

    def snippet(self, network, path):
        raise NotImplementedError


class Unable(Able):
    def problem(self, network):
        return "too large"


class Broken(Able):
    def problem(self, network):
        raise RuntimeError("a mistake")


@pytest.fixture
def catalog(monkeypatch):
    """Formats that are named after what speaks against them."""
    module = ModuleType("toyformats")
    module.Able, module.Unable, module.Broken, module.NoFormat = Able, Unable, Broken, object
    monkeypatch.setitem(sys.modules, "toyformats", module)
    catalog = Catalog()
    with catalog.registering(plugin="toy", distribution="toy-plugin", root="toyformats"):
        for name, changes in {
            "refused": {},
            "first": {},
            "second": {"parts": ("wrapped_model", "model")},
            "cannot": {"target": "toyformats:Unable"},
            "broken": {"target": "toyformats:Broken"},
            "no_format": {"target": "toyformats:NoFormat"},
            "not_installed": {"requires": ("no-such-package",)},
            "other_part": {"parts": ("wrapped_model", "embedding_model")},
        }.items():
            values = {"target": "toyformats:Able", "summary": "S.", **changes}
            catalog.add(FormatRecord(name=name, **values))
    return catalog


def test_formats_that_can_hold_the_part_and_are_installed_are_named(catalog):
    network = SimpleNamespace(part="model", title="Net")
    record = catalog.get("format", "refused")
    message = run._refused(record, network, "it is too large", catalog)
    assert message == (
        "config.format: export format 'refused' cannot hold Net: it is too large\n"
        "  formats that can: first, second"
    )

"""What holds for the tests of the core.

The process that hands tests to workers reads this file too, so it imports no torch.
"""

from __future__ import annotations

import sys
import types

import pytest


@pytest.fixture
def toy():
    """The classes above, for tests that need them by name."""
    from toys import ToyLibrary, ToyNet, ToyWrapper

    return types.SimpleNamespace(Net=ToyNet, Wrapper=ToyWrapper, Library=ToyLibrary)


@pytest.fixture
def tiny():
    """A network with batch statistics that are not the initial ones."""
    import torch

    from lightly_core.testing.models import TinyConv

    torch.manual_seed(0)
    model = TinyConv()
    model(torch.rand(8, 3, 16, 16))
    return model


@pytest.fixture
def catalog(monkeypatch):
    """A catalog with the library ``toy``, which wraps modules of the package ``toynets``."""
    from toys import ToyLibrary, ToyNet

    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import ModelsRecord

    module = types.ModuleType("toyplugin")
    module.Library = ToyLibrary
    module.NoLibrary = ToyNet
    monkeypatch.setitem(sys.modules, "toyplugin", module)
    catalog = Catalog()
    with catalog.registering(plugin="toy", distribution="toy-plugin", root="toyplugin"):
        catalog.add(
            ModelsRecord(
                name="toy",
                target="toyplugin:Library",
                names=("net",),
                wraps=("toynets",),
                summary="Toys.",
            )
        )
        catalog.add(
            ModelsRecord(
                name="broken", target="toyplugin:NoLibrary", names=("net",), summary="No library."
            )
        )
    return catalog

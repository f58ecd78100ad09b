import importlib
import importlib.metadata
import sys
import textwrap

import pytest

from lightly_core.plugins import discovery

HEAD = """
from lightly_core import LoggerRecord, MethodRecord, ModelsRecord, TransformRecord, hookimpl
LIGHTLY_API = 2
"""

METHOD = """
@hookimpl
def lightly_register(catalog):
    catalog.add(MethodRecord(
        name="{name}",
        target="{package}.method:Thing",
        config="{package}.config:Config",
        summary="S.",
    ))
"""


class Sandbox:
    """Writes distributions that metadata and imports find, in place of those really installed."""

    def __init__(self, folder):
        self.folder = folder
        self.imported = folder / "imported.txt"

    def add(
        self,
        distribution,
        body,
        *,
        head=HEAD,
        entry=None,
        value=None,
        version="1.0",
        requires=(),
        files=None,
        entry_points=None,
    ):
        package = distribution.replace("-", "_")
        entry = entry or distribution.removeprefix("lightly-")
        home = self.folder / package
        home.mkdir(exist_ok=True)
        (home / "__init__.py").write_text("")
        trace = f"with open({str(self.imported)!r}, 'a') as f: f.write({distribution!r} + '\\n')\n"
        (home / "plugin.py").write_text(trace + head + textwrap.dedent(body))
        for name, text in (files or {}).items():
            (home / name).write_text(textwrap.dedent(text))
        # With a hyphen in the folder's name, importlib.metadata would cut the name there.
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        lines = [f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        value = f"{package}.plugin" if value is None else value
        text = entry_points or f"[lightly.plugins]\n{entry} = {value}\n"
        (info / "entry_points.txt").write_text(text)
        importlib.invalidate_caches()
        return package

    def method(self, distribution, name, **options):
        package = distribution.replace("-", "_")
        return self.add(distribution, METHOD.format(name=name, package=package), **options)

    def was_imported(self, distribution):
        return self.imported.exists() and distribution in self.imported.read_text().split()

    def discover(self, **options):
        return discovery.discover(**options)

    def status(self, distribution=None, **options):
        statuses = self.discover(**options).statuses
        (status,) = [s for s in statuses if distribution in (None, s.distribution)]
        return status


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    for name in ("LIGHTLY_PLUGINS", "LIGHTLY_STRICT_PLUGINS", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    real = importlib.metadata.distributions
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: real(path=[str(folder)]))
    discovery.configure()
    before = set(sys.modules)
    yield Sandbox(folder)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(folder)):
            del sys.modules[name]
    discovery.configure()

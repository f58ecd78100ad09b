"""Checks of export formats, on a small network or on models of the plugin's own library."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from lightly_core.contracts import ExportedNetwork, ExportFormat, ModelLibrary, Preprocessing
from lightly_core.converting.run import load_format
from lightly_core.errors import ConfigError
from lightly_core.exporting.comparison import largest_difference
from lightly_core.models.probing import probe
from lightly_core.parts.state import state_digest
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.plugins.records import FormatRecord
from lightly_core.testing.checks import Check, require
from lightly_core.testing.models import TinyConv

#: Sides in pixels that are tried, until a model accepts one.
_SIZES = (64, 56, 160, 224)


def format_checks(name: str) -> list[Check]:
    """Return the checks of an installed export format.

    They use the first network that the format can hold: a model of a library of the same plugin,
    a small network without a library, or a model of another installed library.

    Args:
        name: Name of the format.

    Returns:
        One check for each requirement, F1 to F5.

    Raises:
        ConfigError: No installed plugin provides the format.
    """
    record = get_plugins().catalog.get("format", name)
    case = _Case(record)
    return [
        Check(code, title, partial(function, case)) for code, (title, function) in _CHECKS.items()
    ]


class _Case:
    """A format, and a network that it can hold.

    Args:
        record: Record of the format.
    """

    def __init__(self, record: FormatRecord) -> None:
        self.record = record
        self.network = cache(self._network)

    def format(self) -> ExportFormat:
        return load_format(self.record)

    @contextlib.contextmanager
    def written(self) -> Iterator[Path]:
        """Write the network to a path in a new folder."""
        ending = self.record.suffixes[0] if self.record.suffixes else ""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{ending}"
            with contextlib.redirect_stderr(io.StringIO()):
                self.format().write(self.network(), path)
                yield path

    def _network(self) -> ExportedNetwork:
        refused = []
        for network in _candidates(self.record):
            problem = self.format().problem(network)
            if problem is None:
                return network
            refused.append(f"{network.title}: {problem}")
        raise AssertionError(
            f"{self.record.label} can hold none of these networks\n  " + "\n  ".join(refused)
        )


def _candidates(record: FormatRecord) -> Iterator[ExportedNetwork]:
    records = get_plugins().catalog.records("models")
    own = [one for one in records if one.distribution == record.distribution]
    yield from filter(None, (_example(cast(type, load_target(one)), one.name) for one in own))
    torch.manual_seed(0)
    yield _described(TinyConv(), None, None, 64, record.parts[0])
    others = (one for one in records if one not in own)
    yield from filter(None, (_example(cast(type, load_target(one)), one.name) for one in others))


def _example(library_class: type[ModelLibrary], prefix: str) -> ExportedNetwork | None:
    """Return the first example of a library; None if it has none."""
    library = library_class()
    for name in library.examples[:1]:
        wrapper = library.create(name, num_input_channels=3, model_args={})
        for size in _SIZES:
            try:
                probe(wrapper, 3, (size, size))
            except (ConfigError, ValueError, RuntimeError):
                continue
            return _described(wrapper, library, f"{prefix}/{name}", size, "model")
    return None


def _described(
    wrapper: nn.Module, library: ModelLibrary | None, name: str | None, size: int, part: str
) -> ExportedNetwork:
    model = cast(TinyConv, wrapper.eval())
    preprocessing = Preprocessing((size, size), (0.5,) * 3, (0.25,) * 3, "bicubic", 3)
    return ExportedNetwork(part, model, model, library, name, {}, preprocessing, {"format": "pt"})


def _builds(case: _Case) -> None:
    built = case.format()
    require(built.tolerance > 0, f"tolerance is {built.tolerance}, expected a number > 0")


def _writes(case: _Case) -> None:
    with case.written() as path:
        kind = path.is_dir() if case.record.is_folder else path.is_file()
        what = "a folder" if case.record.is_folder else "a file"
        require(kind, f"write() created no {what.partition(' ')[2]} at the path that it was given")
        others = sorted(one.name for one in path.parent.iterdir() if one != path)
        require(not others, f"write() created other files beside {path.name}: {others}")


def _unchanged(case: _Case) -> None:
    module = cast(nn.Module, case.network().embedding)
    before, training = state_digest(module.state_dict()), module.training
    frozen = [parameter.requires_grad for parameter in module.parameters()]
    with case.written():
        pass
    require(state_digest(module.state_dict()) == before, "write() changed weights of the network")
    require(module.training == training, "write() changed the mode of the network")
    after = [parameter.requires_grad for parameter in module.parameters()]
    require(after == frozen, "write() changed which parameters are trainable")


def _reproduces(case: _Case) -> None:
    export, network = case.format(), case.network()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        path = Path(folder) / f"model{case.record.suffixes[0] if case.record.suffixes else ''}"
        written = export.write(network, path)
        found = export.reload(network, path)
        if found is None:
            return
        expected = export.expected(network)
        difference, shapes = largest_difference(network, found, expected, written)
    require(
        difference <= export.tolerance,
        f"the file differs from {network.title} by {difference:.2g} of the largest value on "
        f"images {shapes}, allowed are {export.tolerance:.0e}",
    )


def _snippet(case: _Case) -> None:
    network = case.network()
    with case.written() as path:
        code = case.format().snippet(network, path)
        # Code for a module that only the user can build starts from it.
        scope: dict[str, object] = {"__name__": "__main__"}
        if network.library is None:
            scope["model"] = copy.deepcopy(network.module)
        try:
            exec(compile(code, "<snippet>", "exec"), scope)
        except Exception as error:
            raise AssertionError(f"the snippet fails: {error}\n{code}") from error
    require(callable(scope.get("model")), f"the snippet defines no 'model' to call:\n{code}")


_CHECKS: dict[str, tuple[str, Callable[[_Case], None]]] = {
    "F1": ("builds_without_arguments", _builds),
    "F2": ("writes_at_the_given_path_only", _writes),
    "F3": ("leaves_the_network_unchanged", _unchanged),
    "F4": ("file_computes_what_the_network_computes", _reproduces),
    "F5": ("snippet_loads_the_file", _snippet),
}

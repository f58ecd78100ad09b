"""The format torch_export: a program of `torch.export`, a ``.pt2`` file."""

from __future__ import annotations

from pathlib import Path

import torch

from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Outputs, Written
from lightly_core.exporting.formats.graphs import (
    exported_program,
    extra_files,
    loading_lines,
    quietly,
    tensors_of,
)


class TorchExport(ExportFormat):
    """A program that runs without the classes of the model, with torch alone."""

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Record the part and write it; the preprocessing is an extra file in it.

        Raises:
            ConfigError: torch cannot record the computation.
        """
        program, written = exported_program(network, "torch_export")
        with quietly(), path.open("wb") as file:
            torch.export.save(program, file, extra_files=extra_files(network))
        return written

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code with `torch.export.load`."""
        return loading_lines(f"torch.export.load({str(path)!r}, extra_files=extra).module()")

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the program."""
        with quietly():
            return tensors_of(torch.export.load(path).module())

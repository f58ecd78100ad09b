"""The format torch_export: a program of `torch.export`, a ``.pt2`` file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Outputs, Written
from lightly_core.contracts.outputs import tensors_in
from lightly_core.exporting.formats.graphs import exported_program, metadata, quietly

_PREPROCESSING = "preprocessing.json"


class TorchExport(ExportFormat):
    """A program that runs without the classes of the model, with torch alone."""

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Record the part and write it; the preprocessing is an extra file in it.

        Raises:
            ConfigError: torch cannot record the computation.
        """
        program, written = exported_program(network, "torch_export")
        facts = metadata(network)
        extra = {_PREPROCESSING: facts.pop("preprocessing"), **facts}
        with quietly(), path.open("wb") as file:
            torch.export.save(program, file, extra_files=dict(extra))
        return written

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code with `torch.export.load`."""
        return "\n".join(
            [
                "import json",
                "import torch",
                "",
                f"extra = {{{_PREPROCESSING!r}: ''}}",
                f"model = torch.export.load({str(path)!r}, extra_files=extra).module()",
                f"preprocessing = json.loads(extra[{_PREPROCESSING!r}])",
            ]
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the program."""
        with quietly():
            module = torch.export.load(path).module()

        def outputs(images: Tensor) -> tuple[Tensor, ...]:
            return tuple(tensors_in(module(images)))

        return outputs

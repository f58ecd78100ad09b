"""The format torchscript: a traced module, for `torch.jit.load` and libtorch."""

from __future__ import annotations

from pathlib import Path

import torch

from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Outputs, Written
from lightly_core.contracts.outputs import outputs_of
from lightly_core.errors import ConfigError
from lightly_core.exporting.comparison import agrees, other_size, random_images
from lightly_core.exporting.formats.graphs import (
    BATCH,
    extra_files,
    first_line,
    fixed,
    loading_lines,
    quietly,
    recorded,
    tensors_of,
)


class TorchScript(ExportFormat):
    """A trace of the computation for one size of images.

    A trace keeps the numbers that Python code computed from the size. Whether it works for other
    sizes is tried.
    """

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Trace the part and write it; the preprocessing is an extra file in it.

        Raises:
            ConfigError: torch cannot trace the computation.
        """
        module = recorded(network)
        size = network.preprocessing.size
        try:
            with quietly(), torch.no_grad():
                images = random_images(network, BATCH, size)
                traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                    module, images, check_trace=False
                )
        except Exception as error:  # torch raises many kinds of errors here
            raise ConfigError(
                f"format torchscript cannot hold {network.title}: torch.jit.trace fails: "
                f"{first_line(error)}\n  use torch_export, onnx or safetensors"
            ) from error
        path.write_bytes(traced.save_to_buffer(_extra_files=extra_files(network)))
        return self._tried(network, tensors_of(traced))

    def _tried(self, network: ExportedNetwork, found: Outputs) -> Written:
        """Try another number of images and another size."""
        expected = outputs_of(network)
        size = network.preprocessing.size
        second = other_size(network, expected)
        any_batch = agrees(network, found, expected, [size, size])
        any_size = second is not None and agrees(network, found, expected, [second, second])
        one = "the model takes images of one size"
        reason = one if second is None else "a trace keeps numbers that depend on the size"
        return fixed(network, Written(any_size=any_size, any_batch=any_batch), reason)

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code with `torch.jit.load`."""
        return loading_lines(
            f"torch.jit.load({str(path)!r}, map_location='cpu', _extra_files=extra)"
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the trace."""
        with quietly():
            module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu"
            )
        return tensors_of(module)

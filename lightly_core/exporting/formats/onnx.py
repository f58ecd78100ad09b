"""The format onnx: a graph for ONNX Runtime and other runtimes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Outputs, Written
from lightly_core.errors import ConfigError
from lightly_core.exporting.formats.graphs import (
    INPUT,
    exported_program,
    first_line,
    metadata,
    output_names,
    quietly,
)

#: Above this size the weights would have to be in a second file, which one path cannot name.
_MOST_BYTES = 2_000_000_000


class Onnx(ExportFormat):
    """A graph with the input ``images``. The preprocessing is in its metadata properties."""

    tolerance = 1e-3

    def problem(self, network: ExportedNetwork) -> str | None:
        """Refuse networks whose weights do not fit into one file."""
        tensors = [*network.module.parameters(), *network.module.buffers()]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if size > _MOST_BYTES:
            return f"an ONNX file holds at most 2 GB, and the weights have {size / 1e9:.1f} GB"
        return None

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Record the part, translate it and write it.

        Raises:
            ConfigError: torch cannot record or translate the computation.
        """
        program, written = exported_program(network, "onnx")
        count = len(program.graph_signature.user_outputs)
        try:
            with quietly(), torch.no_grad():
                translated: Any = torch.onnx.export(
                    program,
                    input_names=[INPUT],
                    output_names=output_names(network, count),
                    verbose=False,
                )
        except Exception as error:  # operators without a translation raise several kinds
            raise ConfigError(
                f"format onnx cannot hold {network.title}: an operation has no translation: "
                f"{first_line(error)}\n  use torch_export or torchscript"
            ) from error
        onnx: Any = importlib.import_module("onnx")
        model = translated.model_proto
        _name_axes(model)
        for key, value in metadata(network).items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.checker.check_model(model)
        onnx.save_model(model, str(path))
        return written

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code with ONNX Runtime; ``model(images)`` takes a NumPy array."""
        providers = "providers=['CPUExecutionProvider']"
        return "\n".join(
            [
                "import json",
                "import onnxruntime",
                "",
                f"session = onnxruntime.InferenceSession({str(path)!r}, {providers})",
                "properties = session.get_modelmeta().custom_metadata_map",
                "preprocessing = json.loads(properties['preprocessing'])",
                "",
                "",
                "def model(images):  # a NumPy array (B, C, H, W), float32, normalised",
                f"    return session.run(None, {{{INPUT!r}: images}})",
            ]
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Open the file with ONNX Runtime."""
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def outputs(images: Tensor) -> tuple[Tensor, ...]:
            found = session.run(None, {INPUT: images.numpy()})
            return tuple(torch.from_numpy(array) for array in found)

        return outputs


def _name_axes(model: Any) -> None:  # noqa: ANN401 - a message of protobuf
    """Give the free axes of the input readable names."""
    names = {}
    shape = model.graph.input[0].type.tensor_type.shape
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        if shape.dim[axis].dim_param:
            names[shape.dim[axis].dim_param] = name
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]

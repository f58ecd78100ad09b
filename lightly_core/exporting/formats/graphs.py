"""Common code of the formats that hold a graph: torch_export, torchscript and onnx."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lightly_core.contracts.format import ExportedNetwork, Outputs, Written
from lightly_core.contracts.outputs import PartOutputs, outputs_of, tensors_in
from lightly_core.errors import ConfigError
from lightly_core.exporting.comparison import agrees, other_size, random_images

#: Name of the input.
INPUT = "images"

#: Name of the extra file with the preprocessing.
PREPROCESSING = "preprocessing.json"

#: Images in the example batch. With one image, torch would fix the number.
BATCH = 2


def exported_program(network: ExportedNetwork, label: str) -> tuple[ExportedProgram, Written]:
    """Record the computation of a part, for as many sizes as the model allows.

    Args:
        network: The network; a copy of it is recorded.
        label: Name of the format, for messages.

    Returns:
        The program with the input ``images`` (B, C, H, W), and what of its shape is fixed.

    Raises:
        ConfigError: torch cannot record the computation.
    """
    module = recorded(network)
    expected = outputs_of(network)
    size = network.preprocessing.size
    second = other_size(network, expected)
    free = Dim.DYNAMIC
    # Some models compute less for the size that they were built for, so another one is tried too.
    attempts = [(Written(), {0: free, 2: free, 3: free}, one) for one in (size, second) if second]
    attempts += [
        (Written(any_size=False), {0: free}, size),
        (Written(any_size=False, any_batch=False), {}, size),
    ]
    reason = "" if second else "the model takes images of one size"
    for written, axes, shown in attempts:
        images = random_images(network, BATCH, shown or size)
        try:
            with quietly(), torch.no_grad():
                program = torch.export.export(
                    module, (images,), dynamic_shapes={INPUT: axes or None}, strict=False
                )
                found = program.module()
        except Exception as error:  # torch raises many kinds of errors here
            reason = reason or f"torch cannot record it for others: {first_line(error)}"
            continue
        sizes = [size, second] if written.any_size and second else [size, size]
        if not written.any_batch or agrees(network, found, expected, sizes):
            return program, fixed(network, written, reason)
        reason = reason or "what torch recorded is wrong for others"
    raise ConfigError(
        f"format {label} cannot hold {network.title}: torch.export cannot record its computation: "
        f"{reason}\n  use safetensors, torch_state_dict or torch_model"
    )


def recorded(network: ExportedNetwork) -> PartOutputs:
    """Return a copy of the module of a part's outputs, without gradients."""
    module = copy.deepcopy(outputs_of(network)).eval().requires_grad_(False)
    return module.to(memory_format=torch.contiguous_format)


def fixed(network: ExportedNetwork, written: Written, reason: str) -> Written:
    """Return `written` with sentences about what is fixed.

    Args:
        network: The network.
        written: What is fixed.
        reason: Why; empty: it is not known.
    """
    why = f" ({reason})" if reason else ""
    height, width = network.preprocessing.size
    notes = []
    if not written.any_size:
        notes.append(
            f"The size of the images is fixed at {height} x {width} pixels{why}. For another size, "
            "export again with image_size."
        )
    if not written.any_batch:
        notes.append(f"The number of images is fixed at {BATCH}.")
    return Written(written.any_size, written.any_batch, tuple(notes))


def output_names(network: ExportedNetwork, count: int) -> list[str]:
    """Return the names of the outputs."""
    names = outputs_of(network).names
    return list(names) if names else [f"output_{index}" for index in range(count)]


def preprocessing_text(network: ExportedNetwork) -> str:
    """Return the preprocessing as JSON."""
    return json.dumps(network.preprocessing.as_dict())


def metadata(network: ExportedNetwork) -> dict[str, str]:
    """Return the text entries that graphs carry: the preprocessing and the network's facts."""
    facts = {key: value for key, value in network.facts.items() if key != "format" and value}
    return {**facts, "part": network.part, "preprocessing": preprocessing_text(network)}


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the warnings and log lines of torch while it records a graph."""
    names = ("torch.onnx", "torch._dynamo", "torch.export", "torch.fx", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def extra_files(network: ExportedNetwork) -> dict[str, str]:
    """Return the extra files of an archive of torch: the preprocessing, and facts by name."""
    facts = metadata(network)
    return {PREPROCESSING: facts.pop("preprocessing"), **facts}


def loading_lines(call: str) -> str:
    """Return code that loads an archive of torch with its preprocessing.

    Args:
        call: The call that returns the model and fills the dictionary ``extra``.
    """
    return "\n".join(
        [
            "import json",
            "import torch",
            "",
            f"extra = {{{PREPROCESSING!r}: ''}}",
            f"model = {call}",
            f"preprocessing = json.loads(extra[{PREPROCESSING!r}])",
        ]
    )


def tensors_of(module: torch.nn.Module) -> Outputs:
    """Return a function that gives all tensors that a module returns."""

    def outputs(images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_in(module(images)))

    return outputs

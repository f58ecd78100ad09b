"""The Python code that a run prints: it loads an exported file into the user's own model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

#: In place of a constructor, for models that the user built.
BUILT_AS_FOR_THE_RUN = "# model: built in the same way as for the run"

#: Loads ``state_dict`` into ``model``; every tensor has to match.
LOAD_STRICTLY = "model.load_state_dict(state_dict, strict=True)"


def loading_code(
    file: Path,
    *,
    imports: Sequence[str] = ("import torch",),
    model: Sequence[str] = (BUILT_AS_FOR_THE_RUN,),
    load: Sequence[str] = (LOAD_STRICTLY,),
) -> str:
    """Return code that builds ``model``, reads ``state_dict`` from a file and loads it.

    Args:
        file: A ``.pt`` file with a state dict.
        imports: Lines that import what the code needs, torch among them.
        model: Lines that define ``model``.
        load: Lines that load ``state_dict`` into ``model``.
    """
    return "\n".join([*imports, "", *model, torch_reading(file), *load])


def torch_reading(file: Path) -> str:
    """Return the line that reads ``state_dict`` from a file of `torch.save`."""
    return f"state_dict = torch.load({str(file)!r}, map_location='cpu', weights_only=True)"


def safetensors_reading(file: Path) -> str:
    """Return the line that reads ``state_dict`` from a safetensors file."""
    return f"state_dict = safetensors.torch.load_file({str(file)!r})"


def model_call(function: str, name: str, arguments: Mapping[str, object]) -> str:
    """Return the line that builds ``model``, such as ``model = create('name', depth=3)``.

    Args:
        function: Name of the function to call.
        name: Its first argument.
        arguments: Its keyword arguments, whose `repr` must be Python code.
    """
    words = [repr(name), *(f"{key}={value!r}" for key, value in arguments.items())]
    return f"model = {function}({', '.join(words)})"

"""Formats that hold weights or a pickled module, without a graph."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Outputs, Written
from lightly_core.contracts.outputs import FeatureOutputs, outputs_of
from lightly_core.errors import ConfigError
from lightly_core.exporting.snippets import (
    BUILT_AS_FOR_THE_RUN,
    LOAD_STRICTLY,
    loading_code,
    safetensors_reading,
    torch_reading,
)
from lightly_core.exporting.weights import load_weights
from lightly_core.models.embedding import EmbeddingWrapper
from lightly_core.parts.files import save_torch
from lightly_core.parts.state import portable_state_dict


class PackageDefault(ExportFormat):
    """The file that the model's own library loads; a state dict for a user's own module."""

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Let the library write its file."""
        if network.library is None:
            save_torch(portable_state_dict(network.module), path)
        else:
            network.library.save(network.module, path)
        return Written()

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return the library's code."""
        if network.library is None:
            return loading_code(path)
        return network.library.snippet(
            network.short_name,
            num_input_channels=network.preprocessing.num_channels,
            model_args=network.model_args,
            file=path,
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Read the file into an emptied copy, through the layout of the library."""
        wrapper = cast(ModelWrapper, emptied(cast(nn.Module, network.wrapper)))
        with _silent(logging.getLogger("lightly_core.exporting.weights")):
            load_weights(wrapper, path, strict=True, library=network.library)
        return FeatureOutputs(cast(nn.Module, wrapper)).eval()

    def expected(self, network: ExportedNetwork) -> Outputs:
        """Return the features of the network."""
        return FeatureOutputs(cast(nn.Module, network.wrapper)).eval()


class _StateDict(ExportFormat):
    """Base class of the formats that hold a state dict of the part."""

    reading: str

    def read(self, path: Path) -> Mapping[str, Tensor]:
        """Read the tensors of a file."""
        raise NotImplementedError

    def lines(self, path: Path) -> tuple[list[str], str]:
        """Return the imports, and the line that reads ``state_dict``."""
        raise NotImplementedError

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code that builds the model with its library, and loads the tensors."""
        imports, read = self.lines(path)
        built = building_code(network)
        own = [line for line in built if line.startswith(("import ", "from "))]
        rest = [line for line in built if line not in own]
        head = sorted({*imports, *own}, key=lambda line: (line.startswith("from "), line))
        return "\n".join([*head, "", *rest, read, LOAD_STRICTLY])

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the tensors strictly into an emptied copy."""
        twin = emptied(network.module)
        state = twin.state_dict()
        # Copied in place: some modules convert a state dict that lacks the versions of modules.
        tensors = self.read(path)
        if tensors.keys() != only_tensors(state).keys():
            raise ConfigError(f"'{path.name}' has other tensors than the {type(twin).__name__}")
        with torch.no_grad():
            for name, tensor in tensors.items():
                state[name].copy_(tensor)
        return type(outputs_of(network))(twin).eval()


class TorchStateDict(_StateDict):
    """A state dict that `torch.load` reads with ``weights_only=True``."""

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Write the tensors of the part."""
        save_torch(portable_state_dict(network.module), path)
        return Written()

    def lines(self, path: Path) -> tuple[list[str], str]:
        """Return code with `torch.load`."""
        return ["import torch"], torch_reading(path)

    def read(self, path: Path) -> Mapping[str, Tensor]:
        """Read with `torch.load`."""
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state


class Safetensors(_StateDict):
    """Tensors without pickle. The metadata has the name of the model and the preprocessing."""

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Write the tensors of the part, and the metadata."""
        save_file(portable_state_dict(network.module), path, metadata=dict(network.facts))
        return Written()

    def lines(self, path: Path) -> tuple[list[str], str]:
        """Return code with `safetensors.torch.load_file`."""
        return ["import safetensors.torch"], safetensors_reading(path)

    def read(self, path: Path) -> Mapping[str, Tensor]:
        """Read with `safetensors.torch.load_file`."""
        return load_file(path)

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code that keeps the versions of modules, which the file cannot hold."""
        code = super().snippet(network, path)
        if not needs_versions(network.module):
            return code
        versions = "state_dict = OrderedDict(state_dict)"
        keep = "state_dict._metadata = model.state_dict()._metadata"
        code = f"from collections import OrderedDict\n\n{code}"
        return code.replace(LOAD_STRICTLY, f"{versions}\n{keep}\n{LOAD_STRICTLY}")


class TorchModel(ExportFormat):
    """A pickled module. Loading it runs code of the file, and imports the classes that it names."""

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Pickle a copy of the part.

        Raises:
            ConfigError: The module cannot be pickled.
        """
        try:
            save_torch(_portable(network.module), path)
        except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
            raise ConfigError(
                f"format torch_model cannot hold {network.title}, as it cannot be pickled: "
                f"{str(error).partition(chr(10))[0]}\n  use torch_state_dict, safetensors, onnx or "
                "torch_export"
            ) from error
        return Written()

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code with `torch.load`."""
        needs = "" if network.part == "model" else "; it needs lightly-core and its plugins"
        return "\n".join(
            [
                "import torch",
                "",
                f"# The file is a pickle, which runs code when it is loaded{needs}.",
                f"model = torch.load({str(path)!r}, map_location='cpu', weights_only=False)",
            ]
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Unpickle the module that was just written."""
        module = torch.load(path, map_location="cpu", weights_only=False)
        return type(outputs_of(network))(module).eval()


def _portable(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in eval mode, with the usual memory layout."""
    twin = copy.deepcopy(module).cpu().eval()
    return twin.to(memory_format=torch.contiguous_format)


def building_code(network: ExportedNetwork) -> list[str]:
    """Return lines that build ``model`` for the part of a network, imports first."""
    channels = network.preprocessing.num_channels
    if network.part == "model":
        if network.library is None or network.short_name is None:
            return [BUILT_AS_FOR_THE_RUN]
        return list(
            network.library.building_code(
                network.short_name, num_input_channels=channels, model_args=network.model_args
            )
        )
    if network.name is None:
        lines = ["# model: the wrapper, built in the same way as for the run"]
    else:
        words = [repr(network.name)]
        if channels != 3:
            words.append(f"num_input_channels={channels}")
        if network.model_args:
            words.append(f"model_args={dict(network.model_args)!r}")
        call = f"lightly_core.get_wrapped_model({', '.join(words)})"
        lines = ["import lightly_core", f"model = {call}"]
    embedding = network.embedding
    if network.part == "embedding_model" and isinstance(embedding, EmbeddingWrapper):
        lines.insert(0, "from lightly_core.models.embedding import embed")
        lines.append(f"model = embed(model, {embedding.feature_dim()})")
    return lines


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Write no line about the loading of a file that was just written."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def emptied(module: nn.Module) -> nn.Module:
    """Return a copy whose tensors of the state dict are zero."""
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for tensor in only_tensors(twin.state_dict()).values():
            tensor.zero_()
    return twin


def only_tensors(state: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the entries that are tensors."""
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def needs_versions(module: nn.Module) -> bool:
    """Return whether a module converts state dicts without the versions of its parts."""
    own = (nn.Module._load_from_state_dict, nn.modules.batchnorm._NormBase._load_from_state_dict)
    return any(
        part._version > 1 and type(part)._load_from_state_dict not in own
        for part in module.modules()
    )

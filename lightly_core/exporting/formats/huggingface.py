"""The format huggingface: a folder that transformers loads without a network connection."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Outputs, Written
from lightly_core.contracts.huggingface import HuggingFaceLibrary, HuggingFaceModel
from lightly_core.errors import ConfigError
from lightly_core.exporting.formats.graphs import quietly

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"

#: Numbers of the ways to resize, as in Pillow.
_RESAMPLE = {"bilinear": 2, "bicubic": 3}

#: The margin around the centre crop of evaluation, and the side below which there is none.
_MARGIN, _PLAIN_BELOW = 256 / 224, 64


class HuggingFace(ExportFormat):
    """Configuration, weights and preprocessing in the layout of a model of transformers."""

    tolerance = 1e-3

    def problem(self, network: ExportedNetwork) -> str | None:
        """Ask the library of the model."""
        try:
            converted(network)
        except ConfigError as error:
            return str(error)
        return None

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Write the three files.

        Raises:
            ConfigError: transformers has no such model.
        """
        model = converted(network)
        path.mkdir()
        write_json(path / CONFIG, model.config)
        tensors = {name: tensor.contiguous() for name, tensor in model.tensors.items()}
        save_file(tensors, path / WEIGHTS, metadata={**network.facts, "format": "pt"})
        write_json(path / PREPROCESSOR, preprocessor_config(network))
        notes = list(model.written.notes)
        value_range = network.preprocessing.value_range
        if value_range is not None and value_range[0] != 0:
            notes.append(
                f"{PREPROCESSOR} cannot state that pixels of {value_range[0]:g} become 0: scale "
                "images to [0, 1] before."
            )
        return Written(model.written.any_size, model.written.any_batch, tuple(notes))

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code with transformers' ``AutoModel``."""
        return "\n".join(
            [
                "from transformers import AutoImageProcessor, AutoModel",
                "",
                f"model = AutoModel.from_pretrained({str(path)!r})",
                f"processor = AutoImageProcessor.from_pretrained({str(path)!r})",
                "# model(**processor(image, return_tensors='pt')).pooler_output",
            ]
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the folder with ``AutoModel``.

        Raises:
            ConfigError: transformers does not find all tensors of its model in the folder.
        """
        transformers: Any = importlib.import_module("transformers")
        with quietly(), _silent(transformers.utils.logging):
            model, report = transformers.AutoModel.from_pretrained(
                str(path), local_files_only=True, output_loading_info=True
            )
        # A classifier in the folder, which AutoModel does not read, is not among these.
        kinds = ("missing_keys", "mismatched_keys", "error_msgs")
        wrong = {kind: sorted(map(str, report[kind])) for kind in kinds if report.get(kind)}
        if wrong:
            raise ConfigError(
                f"transformers {transformers.__version__} reads {network.title} incompletely: "
                f"{str(wrong)[:300]}"
            )
        model.eval()

        def outputs(images: Tensor) -> tuple[Tensor, ...]:
            found = model(pixel_values=images)
            return found.last_hidden_state, found.pooler_output.flatten(1)

        return outputs

    def expected(self, network: ExportedNetwork) -> Outputs:
        """Return the function that the library states."""
        return converted(network).expected


@contextmanager
def _silent(logging: Any) -> Iterator[None]:  # noqa: ANN401 - transformers' module of this name
    """Show no messages and no progress bar of transformers."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def converted(network: ExportedNetwork) -> HuggingFaceModel:
    """Return the network in the layout of transformers."""
    library: object = network.library
    if not isinstance(library, HuggingFaceLibrary):
        raise ConfigError("transformers has no such model")
    return library.to_huggingface(network)


def preprocessor_config(network: ExportedNetwork) -> dict[str, object]:
    """Return the content of ``preprocessor_config.json``: resize, centre crop, normalise."""
    preprocessing = network.preprocessing
    height, width = preprocessing.size
    low, high = preprocessing.value_range or (0.0, 255.0)
    side = min(height, width)
    crops = height == width and side >= _PLAIN_BELOW
    size: dict[str, int] = {"height": height, "width": width}
    return {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": round(side * _MARGIN)} if crops else size,
        "resample": _RESAMPLE.get(preprocessing.interpolation, 3),
        "do_center_crop": crops,
        "crop_size": size,
        "do_rescale": True,
        "rescale_factor": 1 / (high - low),
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
        "do_convert_rgb": preprocessing.num_channels == 3,
    }


def write_json(path: Path, content: object) -> None:
    """Write JSON with sorted keys."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")

"""The format ultralytics: the ``.pt`` that ``YOLO(path)`` and ``RTDETR(path)`` load."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn

from lightly_core.contracts import ExportedNetwork, ExportFormat, Written
from lightly_core.contracts.format import Outputs
from lightly_core.contracts.outputs import FeatureOutputs
from lightly_ultralytics.library import UltralyticsLibrary
from lightly_ultralytics.upstream import quietly, upstream
from lightly_ultralytics.wrapper import wrap_ultralytics


class UltralyticsFile(ExportFormat):
    """The same file as that of package_default, for models of ultralytics only."""

    def problem(self, network: ExportedNetwork) -> str | None:
        """Refuse models of other libraries."""
        if isinstance(network.library, UltralyticsLibrary):
            return None
        return "it is no model of ultralytics"

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Write the file; see `lightly_ultralytics.saving.save_checkpoint`."""
        _library(network).save(network.module, path)
        return Written()

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code that needs ultralytics only."""
        return _library(network).snippet(
            network.short_name,
            num_input_channels=network.preprocessing.num_channels,
            model_args=network.model_args,
            file=path,
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the file with ultralytics."""
        with quietly():
            model: Any = upstream("ultralytics").YOLO(str(path)).model
        return _features(model, network)

    def expected(self, network: ExportedNetwork) -> Outputs:
        """Return the features of the backbone."""
        return _features(copy.deepcopy(network.module), network)


def _features(model: nn.Module, network: ExportedNetwork) -> Outputs:
    wrapper = wrap_ultralytics(model.float(), network.preprocessing.num_channels)
    return FeatureOutputs(wrapper.eval()).eval()


def _library(network: ExportedNetwork) -> UltralyticsLibrary:
    assert isinstance(network.library, UltralyticsLibrary)
    return network.library

"""Computes the features of images and writes them to a file."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lightly_core.atomic import atomic_path
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import RawBatch, build_eval_loader
from lightly_core.data.names import as_text, written
from lightly_core.data.skipped import SkipLog
from lightly_core.embedding.checks import output_format, output_path
from lightly_core.embedding.result import EmbedResult
from lightly_core.embedding.writers import FeatureWriter, open_writer
from lightly_core.engine.logs import RunLogs
from lightly_core.engine.stops import like_ctrl_c
from lightly_core.errors import ConfigError, DataError, RunError
from lightly_core.evaluation.backbone import Backbone, open_backbone
from lightly_core.evaluation.features import batch_features, frozen
from lightly_core.models.probing import probe
from lightly_core.plugins.discovery import Plugins
from lightly_core.progress import progress

logger = logging.getLogger(__name__)


def embed_images(config: EmbedConfig, plugins: Plugins) -> EmbedResult:
    """Compute the features of all images and write them.

    Args:
        config: Checked settings, see `embed_problems`.
        plugins: The installed plugins.

    Raises:
        ConfigError: The network cannot be built, or has no such features.
        DataError: There are no images, or too many are unreadable.
        RunError: The file cannot be written, or the device has too little memory.
    """
    with RunLogs(True, plugins.catalog.packages()), like_ctrl_c():
        backbone = open_backbone(config, plugins.catalog, with_embedding=True)
        return _Embedding(config, backbone, backbone.open_source(config.data)).write()


class _Embedding:
    """Computes and writes one file of features.

    Args:
        config: The settings.
        backbone: The network.
        source: The images.
    """

    def __init__(self, config: EmbedConfig, backbone: Backbone, source: ImageSource) -> None:
        self._config = config
        self._backbone = backbone
        self._source = source
        self._shape = feature_shape(backbone, config.features)
        self._skips = SkipLog(None, len(source), config.max_skipped)
        self._num_images = 0
        self._num_not_finite = 0

    def write(self) -> EmbedResult:
        """Write the file of features and, if images were skipped, their list."""
        path = output_path(self._config)
        started = time.monotonic()
        try:
            with atomic_path(path) as temporary:
                file_format = output_format(self._config)
                with open_writer(file_format, temporary, self._shape) as writer:
                    self._compute(writer)
                seconds = time.monotonic() - started
                skipped = self._write_skipped(path)
        except OSError as error:
            raise RunError(f"'{path}' cannot be written: {error}") from error
        except torch.cuda.OutOfMemoryError as error:
            raise RunError(
                f"the device has too little memory for batch_size={self._config.batch_size}; "
                "choose a smaller one"
            ) from error
        self._report(path, skipped, seconds)
        return EmbedResult(path, self._num_images, len(self._skips), self._shape[0])

    def _compute(self, writer: FeatureWriter) -> None:
        backbone, source = self._backbone, self._source
        loader = build_eval_loader(
            source,
            range(len(source)),
            backbone.transform,
            batch_size=backbone.batch_size,
            num_workers=backbone.num_workers,
        )
        bar = progress("Embedding images", len(source))
        with bar as task, frozen(backbone.wrapper, backbone.device):
            for batch in loader:
                self._add(writer, batch)
                task.advance(len(batch.indices) + len(batch.skipped))
        if self._num_images == 0:
            raise DataError(f"none of the {len(source)} images can be read")

    def _add(self, writer: FeatureWriter, batch: RawBatch) -> None:
        self._skips.add(batch.skipped)
        if len(batch.indices) == 0:
            return
        backbone = self._backbone
        features = batch_features(
            backbone.wrapper,
            batch,
            backbone.transform,
            backbone.device,
            kind=self._config.features,
            precision=backbone.precision,
            channels_last=backbone.channels_last,
        )
        if self._config.l2_normalize:
            features = F.normalize(features, dim=1)
        finite = torch.isfinite(features.flatten(1)).all(dim=1)  # (B,)
        self._num_not_finite += int((~finite).sum())
        # CSV files may be opened by a spreadsheet, which evaluates formulas.
        form = written if output_format(self._config) == "csv" else as_text
        names = [form(self._source.name(index)) for index in batch.indices.tolist()]
        writer.add(names, np.ascontiguousarray(features.cpu().numpy(), "<f4"))
        self._num_images += len(names)

    def _write_skipped(self, path: Path) -> Path | None:
        """Write the list of unreadable images, or remove the list of a replaced file."""
        listed = path.with_name(f"{path.name}.skipped.csv")
        if len(self._skips) == 0:
            if self._config.overwrite:
                listed.unlink(missing_ok=True)
            return None
        self._skips.write(listed)
        return listed

    def _report(self, path: Path, skipped: Path | None, seconds: float) -> None:
        if skipped is not None:
            logger.warning(
                "%d images cannot be read and are skipped; they are listed in '%s'.",
                len(self._skips),
                skipped,
            )
        if self._num_not_finite:
            logger.warning(
                "The features of %d images hold nan or infinite values; check the weights%s.",
                self._num_not_finite,
                "" if self._backbone.precision is None else ", or use precision=32-true",
            )
        logger.info(
            "Embedded %d images in %.1f s (%.0f images/s): %s features (%s) of %s in '%s'.",
            self._num_images,
            seconds,
            self._num_images / max(seconds, 1e-9),
            self._config.features,
            " x ".join(map(str, self._shape)),
            self._backbone.name,
            path,
        )


def feature_shape(backbone: Backbone, kind: str) -> tuple[int, ...]:
    """Return the shape of one image's features: (D,), or (D, h, w) for ``patch``.

    Args:
        backbone: The network.
        kind: ``pooled``, ``class_token`` or ``patch``.

    Raises:
        ConfigError: The network has no class token.
    """
    found = probe(backbone.wrapper, backbone.transform.num_channels, backbone.transform.size)
    if kind == "class_token" and not found.has_cls_token:
        raise ConfigError(
            f"config.features: {backbone.name} has no class token; use features=pooled"
        )
    return (found.feature_dim, *(found.feature_size if kind == "patch" else ()))

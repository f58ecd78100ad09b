"""Computes the features of batches of images, and passes them to a writer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lightly_core.config.options.embed import EmbedConfig
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import RawBatch
from lightly_core.data.names import as_text, written
from lightly_core.data.skipped import SkipLog
from lightly_core.embedding.checks import CSV_FORMATS, output_format
from lightly_core.embedding.writers import FeatureWriter
from lightly_core.errors import ConfigError, RunError
from lightly_core.evaluation.backbone import Backbone
from lightly_core.evaluation.features import batch_features
from lightly_core.models.probing import probe

logger = logging.getLogger(__name__)


class Rows:
    """Computes features and counts them.

    Args:
        config: The settings.
        backbone: The network.
        source: The images.

    Attributes:
        shape: Shape of one image's features.
        skips: Images that cannot be read.
        num_images: Images whose features were computed.

    Raises:
        ConfigError: The network has no such features.
    """

    def __init__(self, config: EmbedConfig, backbone: Backbone, source: ImageSource) -> None:
        self._config = config
        self._backbone = backbone
        self._source = source
        # CSV files may be opened by a spreadsheet, which evaluates formulas.
        self._form = written if output_format(config) in CSV_FORMATS else as_text
        self.shape = feature_shape(backbone, config.features)
        self.skips = SkipLog(None, len(source), config.max_skipped)
        self.num_images = 0
        self._num_not_finite = 0

    def add(self, writer: FeatureWriter, batch: RawBatch) -> None:
        """Compute the features of a batch and write them.

        Raises:
            DataError: Too many images cannot be read.
        """
        self.skips.add(batch.skipped)
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
        names = [self._form(self._source.name(index)) for index in batch.indices.tolist()]
        writer.add(names, np.ascontiguousarray(features.cpu().numpy(), "<f4"))
        self.num_images += len(names)

    @contextmanager
    def explained(self, path: Path) -> Iterator[None]:
        """Translate errors of the disk and of the device.

        Raises:
            RunError: `path` cannot be written, or the device has too little memory.
        """
        try:
            yield
        except OSError as error:
            raise RunError(f"'{path}' cannot be written: {error}") from error
        except torch.cuda.OutOfMemoryError as error:
            raise RunError(
                f"the device has too little memory for batch_size={self._config.batch_size}; "
                "choose a smaller one"
            ) from error

    def report(self, path: Path, skipped: Path | None, seconds: float, num_images: int) -> None:
        """Log what was written, and warn of what is missing or not finite.

        Args:
            path: The file or folder.
            skipped: List of the images that cannot be read, if there are any.
            seconds: Duration.
            num_images: Images that were added, also by other processes.
        """
        if skipped is not None:
            logger.warning(
                "%d images cannot be read and are skipped; they are listed in '%s'.",
                len(self.skips),
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
            num_images,
            seconds,
            num_images / max(seconds, 1e-9),
            self._config.features,
            " x ".join(map(str, self.shape)),
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


def write_list(skips: SkipLog, path: Path, *, replace: bool) -> Path | None:
    """Write the list of unreadable images; return its path, or None if there are none.

    Args:
        skips: The images.
        path: The list.
        replace: Whether a list that is there belongs to replaced features.
    """
    if len(skips) == 0:
        if replace:
            path.unlink(missing_ok=True)
        return None
    skips.write(path)
    return path

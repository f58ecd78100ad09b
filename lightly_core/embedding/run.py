"""Computes the features of images and writes them to a file or to a folder of files."""

from __future__ import annotations

import logging
import time

from attrs import evolve

from lightly_core.atomic import atomic_path
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.reading.launch import Launch, find_launch
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import build_eval_loader
from lightly_core.embedding.checks import output_format, output_path
from lightly_core.embedding.processes import further_processes, own_launch, own_part
from lightly_core.embedding.result import EmbedResult
from lightly_core.embedding.rows import Rows, write_list
from lightly_core.embedding.sharded import ShardedEmbedding
from lightly_core.embedding.writers import FeatureWriter, open_writer
from lightly_core.engine.logs import RunLogs
from lightly_core.engine.stops import like_ctrl_c
from lightly_core.errors import DataError
from lightly_core.evaluation.backbone import Backbone, open_backbone
from lightly_core.evaluation.features import frozen
from lightly_core.plugins.discovery import Plugins
from lightly_core.progress import progress

log = logging.getLogger(__name__)


def embed_images(config: EmbedConfig, plugins: Plugins) -> EmbedResult:
    """Compute the features of all images and write them.

    Args:
        config: Checked settings, see `embed_problems`.
        plugins: The installed plugins.

    Raises:
        ConfigError: The network cannot be built, or has no such features; or the folder has
            features of other settings.
        DataError: There are no images, or too many are unreadable.
        RunError: The file cannot be written, or the device has too little memory.
    """
    launch = None if config.shard_size is None else find_launch()
    is_first = launch is None or launch.rank == 0
    with RunLogs(is_first, plugins.catalog.packages()), like_ctrl_c():
        config = _with_network(config)
        if config.shard_size is None:
            backbone = open_backbone(config, plugins.catalog, with_embedding=True)
            return _Embedding(config, backbone, backbone.open_source(config.data)).write()
        return _embed_together(config, plugins, launch)


def _with_network(config: EmbedConfig) -> EmbedConfig:
    """Return the settings with `model`, for which `checkpoint` alone stands too."""
    if config.model is not None:
        return config
    log.info("No model is given, so the network is that of checkpoint=%s.", config.checkpoint)
    return evolve(config, model=config.checkpoint, checkpoint=None)


def _embed_together(config: EmbedConfig, plugins: Plugins, launch: Launch | None) -> EmbedResult:
    """Write a folder of files; `launch` is that of a launcher."""
    own = own_launch(config) if launch is None else None
    with own_part(config, launch or own) as settings:
        backbone = open_backbone(settings, plugins.catalog, with_embedding=True)
        source = backbone.open_source(settings.data)
        work = ShardedEmbedding(settings, backbone, source, launch or own)
        with further_processes(config, own):
            return work.write()


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
        self._rows = Rows(config, backbone, source)

    def write(self) -> EmbedResult:
        """Write the file of features and, if images were skipped, their list."""
        path = output_path(self._config)
        rows = self._rows
        started = time.monotonic()
        with rows.explained(path), atomic_path(path) as temporary:
            with open_writer(output_format(self._config), temporary, rows.shape) as writer:
                self._compute(writer)
            seconds = time.monotonic() - started
            skipped = path.with_name(f"{path.name}.skipped.csv")
            listed = write_list(rows.skips, skipped, replace=self._config.overwrite)
        rows.report(path, listed, seconds, rows.num_images)
        return EmbedResult(path, rows.num_images, len(rows.skips), rows.shape[0])

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
                self._rows.add(writer, batch)
                task.advance(len(batch.indices) + len(batch.skipped))
        if self._rows.num_images == 0:
            raise DataError(f"none of the {len(source)} images can be read")

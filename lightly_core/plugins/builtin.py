"""Records of what lightly-core itself provides: loggers, export formats, sources, a launcher."""

from __future__ import annotations

from lightly_core.plugins.catalog import CORE, Catalog
from lightly_core.plugins.records import (
    FormatRecord,
    LauncherRecord,
    LoggerRecord,
    Record,
    SourceRecord,
)
from lightly_core.version import __version__

#: Of graphs the features are wanted, since the head of a pretrained model is not trained.
_GRAPH_PARTS = ("wrapped_model", "embedding_model", "model")

_LOGGERS = (
    LoggerRecord(
        name="jsonl",
        target="lightly_core.engine.loggers.jsonl:JsonlLogger",
        config="lightly_core.config.options.settings:JsonlArgs",
        summary="metrics.jsonl, one JSON object per line; always on.",
    ),
    LoggerRecord(
        name="tensorboard",
        target="lightly_core.engine.loggers.tensorboard:TensorBoardLogger",
        config="lightly_core.config.options.settings:TensorBoardArgs",
        summary="TensorBoard event files; on unless switched off.",
        requires=("tensorboard>=2.14",),
    ),
)

_FORMATS = (
    FormatRecord(
        name="package_default",
        target="lightly_core.exporting.formats.weights:PackageDefault",
        summary="The file that the model's own library loads.",
        suffixes=(".pt", ".pth"),
        parts=("model",),
    ),
    FormatRecord(
        name="torch_state_dict",
        target="lightly_core.exporting.formats.weights:TorchStateDict",
        summary="A state dict of torch, for torch.load(weights_only=True).",
        suffixes=(".pt", ".pth"),
    ),
    FormatRecord(
        name="torch_model",
        target="lightly_core.exporting.formats.weights:TorchModel",
        summary="A pickled module, for torch.load(weights_only=False).",
        suffixes=(".pt", ".pth"),
    ),
    FormatRecord(
        name="safetensors",
        target="lightly_core.exporting.formats.weights:Safetensors",
        summary="Weights without pickle, with the preprocessing; lightly embed reads it.",
        suffixes=(".safetensors",),
    ),
    FormatRecord(
        name="torchscript",
        target="lightly_core.exporting.formats.torchscript:TorchScript",
        summary="A graph for torch.jit.load, also in C++.",
        suffixes=(".torchscript", ".ts"),
        parts=_GRAPH_PARTS,
    ),
    FormatRecord(
        name="torch_export",
        target="lightly_core.exporting.formats.torch_export:TorchExport",
        summary="A graph for torch.export.load.",
        suffixes=(".pt2",),
        parts=_GRAPH_PARTS,
    ),
    FormatRecord(
        name="onnx",
        target="lightly_core.exporting.formats.onnx:Onnx",
        summary="A graph for ONNX Runtime and other runtimes.",
        requires=("onnx>=1.17", "onnxscript>=0.7.2", "onnxruntime>=1.20"),
        suffixes=(".onnx",),
        parts=_GRAPH_PARTS,
    ),
    FormatRecord(
        name="huggingface",
        target="lightly_core.exporting.formats.huggingface:HuggingFace",
        summary="A folder that AutoModel.from_pretrained of transformers loads.",
        requires=("transformers>=4.56",),
        parts=("model",),
    ),
)


#: Endings of video files. Those of streams without times, and those that other files have, are not
#: among them.
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".ogv", ".webm", ".wmv"),
)


_SOURCES = (
    SourceRecord(
        name="fsspec",
        target="lightly_core.data.remote_folder:RemoteLibrary",
        config="lightly_core.config.options.remote_data:RemoteDataArgs",
        check="lightly_core.data.remote_check:problems",
        summary="Folders, patterns and lists of images behind URLs, such as s3:// and https://.",
        requires=("fsspec>=2024.2",),
        schemes=(
            *("s3", "s3a", "gs", "gcs", "az", "abfs", "http", "https", "memory", "file"),
            *("ftp", "sftp", "hdfs"),
        ),
        prefix=False,
    ),
    SourceRecord(
        name="video",
        target="lightly_core.data.videos.library:VideoLibrary",
        config="lightly_core.config.options.videos:VideoDataArgs",
        check="lightly_core.data.videos.places:problems",
        summary="Frames of videos: files, and folders with the prefix video:.",
        requires=("av>=14.2",),
        licence="BSD-3-Clause; its wheels have FFmpeg under LGPL-3.0",
        schemes=("video",),
        suffixes=VIDEO_SUFFIXES,
    ),
)

_LAUNCHERS = (
    LauncherRecord(
        name="local",
        target="lightly_core.benchmarking.local:LocalLauncher",
        config="lightly_core.config.options.launchers:LocalArgs",
        summary="Processes of this machine, one row after another.",
    ),
)


def register_builtin(catalog: Catalog) -> None:
    """Add what needs no plugin."""
    with catalog.registering(
        plugin="core", distribution=CORE, version=__version__, root="lightly_core"
    ):
        records: tuple[Record, ...] = (*_LOGGERS, *_FORMATS, *_SOURCES, *_LAUNCHERS)
        for record in records:
            catalog.add(record)

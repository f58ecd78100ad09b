"""Build the parts of a run from resolved settings: model, method, transform, loggers."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.fields import plain as as_data
from lightly_core.config.reading.launch import early_rank
from lightly_core.config.reading.load import Settings
from lightly_core.contracts import (
    ExportedModel,
    Logger,
    Method,
    ModelWrapper,
    RunContext,
    Sample,
    Transform,
)
from lightly_core.contracts.capabilities import ActivationCheckpointing
from lightly_core.data.dataset import build_loader
from lightly_core.data.fingerprint import fingerprint
from lightly_core.data.loader import Loader
from lightly_core.data.sources import ImageSource
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.engine import compiling
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.loggers.bridge import bridged_loggers
from lightly_core.engine.module import TrainingModule
from lightly_core.engine.trainer import plain
from lightly_core.errors import ConfigError, PluginError
from lightly_core.exporting.weights import load_weights
from lightly_core.methods.requirements import build_method, require_capability
from lightly_core.models.embedding import embed
from lightly_core.models.probing import freeze_unused, probe
from lightly_core.models.trainable import (
    require_number_format,
    require_trainable,
    start_training,
)
from lightly_core.models.unwrapping import unwrapped
from lightly_core.models.wrapping import BuiltModel, build_model
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.hookspecs import RunInfo
from lightly_core.plugins.loading import load_target
from lightly_core.version import __version__

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltRun:
    """The modules of a run.

    Attributes:
        model: The backbone as the user named it, with its library.
        wrapper: The backbone that the method trains, with the layer of ``embed_dim`` if it is set.
        method: The method that trains it.
        module: The module that Lightning trains.
    """

    model: BuiltModel
    wrapper: ModelWrapper
    method: Method[Any]
    module: TrainingModule


def build_run(resolved: Resolved, source: ImageSource, catalog: Catalog) -> BuiltRun:
    """Build model, method and training module.

    Raises:
        ConfigError: Model or method reject their arguments, or do not fit together.
        PluginError: A plugin's code cannot be imported.
    """
    run = resolved.run
    built = build_model(
        plain(run.model),
        catalog=catalog,
        num_input_channels=resolved.transform.channels,
        model_args=run.model_args,
    )
    wrapper: ModelWrapper = built.wrapper
    size = resolved.transform.size
    require_number_format(wrapper, str(run.precision))
    probe(wrapper, resolved.transform.channels, size)
    checkpointing = run.activation_checkpoint_args
    if checkpointing is not None and checkpointing.enabled:
        checkpointed = require_capability(
            wrapper, ActivationCheckpointing, needed_by="activation_checkpoint_args.enabled=true"
        )
        checkpointed.set_activation_checkpointing(True, checkpointing.every_n_blocks)
    if run.embed_dim is not None:
        wrapper = embed(wrapper, run.embed_dim)
    _warn_about_random_weights(built, run.checkpoint)
    if run.checkpoint is not None:
        load_weights(wrapper, run.checkpoint, library=built.library)
    start_training(wrapper, by_name=built.name is not None)
    unused = freeze_unused(wrapper, resolved.transform.channels, size)
    if unused:
        logger.debug("Not reached by the features, hence not trained: %s", ", ".join(unused))
    if resolved.total_steps > 0:
        require_trainable(wrapper, unused, embed_dim=run.embed_dim is not None)
    method = _build_method(resolved, wrapper, source)
    if not isinstance(method, nn.Module):
        raise PluginError(
            f"method '{run.method}' is a {type(method).__name__}, expected a torch.nn.Module"
        )
    transform = build_transform(resolved)
    module = TrainingModule(method, transform, source, resolved, metadata(resolved))
    # Both may raise. They are called again after the trainer has started its processes.
    method.parameter_groups()
    module.exported_prefix()
    if run.compile:
        compiling.require_compiler("cuda" if run.accelerator == "gpu" else str(run.accelerator))
        module.compiled = compiling.CompiledBackbones(method)
    return BuiltRun(built, wrapper, method, module)


def _warn_about_random_weights(built: BuiltModel, checkpoint: object) -> None:
    """Warn if a model name includes weights (timm's tags), but none are loaded."""
    library, name = built.library, built.name or ""
    sources = () if library is None else library.weight_args
    if "pretrained" not in sources or "." not in name or checkpoint is not None:
        return
    if not any(built.model_args.get(source) for source in sources):
        logger.warning(
            "'%s' names the weights '%s', but the model starts from random ones; "
            "model_args.pretrained=true loads them",
            name,
            name.partition(".")[2],
        )


def _build_method(resolved: Resolved, wrapper: ModelWrapper, source: ImageSource) -> Method[Any]:
    method_class = cast("type[Method[Any]]", load_target(resolved.method_record))
    context = RunContext(
        dataset_size=len(source),
        global_batch_size=resolved.run.batch_size,
        total_steps=resolved.total_steps,
        steps_per_epoch=resolved.steps_per_epoch,
        world_size=resolved.world_size,
        input_channels=resolved.transform.channels,
        num_views=resolved.transform.num_views,
        image_size=resolved.transform.size,
        mean=tuple(resolved.transform.normalize.mean),
        std=tuple(resolved.transform.normalize.std),
        method_name=resolved.method_record.name,
        view_facts=_view_facts(resolved, source),
    )
    return build_method(method_class, resolved.method, wrapper, context)


def _view_facts(resolved: Resolved, source: ImageSource) -> dict[str, object]:
    """Return everything that repeating views depend on. Empty if views do not repeat."""
    period = resolved.method.view_period()
    if period is None:
        return {}
    transform = resolved.transform_record
    precision = str(resolved.run.precision)
    return {
        "lightly_core": __version__,
        "images": fingerprint(source),
        "seed": resolved.run.seed,
        "view_period": period,
        "transform": "" if transform is None else transform.target,
        "transform_args": resolved.as_dict()["transform_args"],
        "in_memory": resolved.run.in_memory,  # views are rounded a little differently
        # Views have the type of the weights, which is float32 under mixed precision.
        "weights": precision if precision.endswith("-true") else "32-true",
    }


def build_transform(settings: Settings) -> Transform:
    """Build the transform of a run.

    Raises:
        PluginError: The code of its plugin cannot be imported.
    """
    if settings.transform_record is None:
        return TwoStageTransform(settings.transform, crops=settings.method.requires.crops)
    transform_class = load_target(settings.transform_record)
    transform = transform_class(settings.transform)  # type: ignore[operator]
    return transform  # type: ignore[no-any-return]


def metadata(settings: Settings) -> dict[str, str]:
    """Return the metadata of checkpoints and exported files."""
    run = settings.run
    normalize = settings.transform.normalize
    return {
        "lightly_core": __version__,
        "model": str(run.model),
        "method": settings.method_record.name,
        "image_size": "x".join(str(side) for side in settings.transform.size),
        "num_channels": str(settings.transform.channels),
        "interpolation": settings.transform.interpolation,
        "channel_drop": _as_json(settings.transform.channel_drop),
        "model_args": _as_json(without_secrets(run.model_args)),
        "mean": " ".join(str(value) for value in normalize.mean),
        "std": " ".join(str(value) for value in normalize.std),
        "value_range": " ".join(str(value) for value in settings.transform.value_range or ()),
        "embed_dim": str(run.embed_dim or ""),
    }


def _as_json(value: object) -> str:
    """Return settings as JSON, empty if there are none."""
    return json.dumps(as_data(value)) if value else ""


def run_info(resolved: Resolved, folder: RunFolder, *, resumed: bool) -> RunInfo:
    """Return the `RunInfo` that plugins get at the start of a run."""
    return RunInfo(
        out=folder.root,
        model=str(resolved.run.model),
        method=resolved.method_record.name,
        config=resolved.as_dict(),
        rank=early_rank(),
        world_size=resolved.world_size,
        total_steps=resolved.total_steps,
        resumed=resumed,
        status="running",
    )


def build_loggers(
    settings: Settings, folder: RunFolder, resume_step: int | None
) -> dict[str, Logger]:
    """Build the enabled loggers. A logger that cannot start is reported and skipped."""
    loggers: dict[str, Logger] = {}
    for name, config in settings.loggers.items():
        record = settings.logger_records[name]
        try:
            logger_class = load_target(record)
            loggers[name] = logger_class(config, folder.root, resume_step)  # type: ignore[operator]
        except PluginError:
            raise
        except Exception as error:
            logger.warning(
                "Logger '%s' cannot start and is skipped: %s: %s",
                name,
                type(error).__name__,
                error,
            )
            logger.debug("Logger '%s' cannot start.", name, exc_info=True)
    return {**loggers, **bridged_loggers(settings.run.trainer_args)}


def exported_model(built: BuiltRun, settings: Settings) -> ExportedModel:
    """Return the exported backbone for loggers."""
    transform = settings.transform
    height, width = transform.size
    return ExportedModel(
        module=unwrapped(built.module.network().get_model()),
        metadata=metadata(settings),
        num_channels=transform.channels,
        image_size=(height, width),
    )


def check_first_image(resolved: Resolved, source: ImageSource) -> None:
    """Reject loader arguments and images that cannot work, by reading one image.

    Raises:
        ConfigError: `loader_args` are wrong, or the transform fails on the first image.
        DataError: No image can be read.
    """
    run = resolved.run
    loader = build_loader(
        source,
        build_transform(resolved),
        seed=0,
        per_device_batch_size=resolved.per_device_batch_size,
        rank=0,
        world_size=resolved.world_size,
        num_workers=int(run.num_workers),
        pin_memory=False,
        loader_args=run.loader_args,
    )
    _first_sample(loader.dataset)


def check_data(module: TrainingModule) -> None:
    """Reject loader arguments and images that cannot work, before anything is written.

    Raises:
        ConfigError: `loader_args` are wrong, the transform fails on the first image, or it does
            not return the crops that the method requires.
        DataError: No image can be read.
    """
    loader = module.make_loader(seed=0, rank=0)
    if isinstance(loader, Loader):
        loader.check_start()
    sample = _first_sample(loader.dataset)
    resolved = module.resolved
    expected = len(resolved.transform.view_specs())
    if len(sample.views) != expected:
        raise ConfigError(
            f"the transform '{resolved.transform.name}' returned {len(sample.views)} views "
            f"of an image, expected {expected}, as its options declare; correct Transform.sample, "
            "or view_specs() of its options"
        )
    if resolved.method.requires.crops and len(sample.crops) != len(sample.views):
        raise ConfigError(
            f"method '{resolved.method_record.name}' needs the crop of each view, but the "
            f"transform '{resolved.transform.name}' returned crops for {len(sample.crops)} of "
            f"{len(sample.views)} views (Sample.crops); set transform_args.name=default, or "
            "choose another method"
        )


def _first_sample(dataset: Any) -> Sample:  # noqa: ANN401 - torch does not type the keys of datasets
    try:
        sample: Sample = dataset[(0, 0)]
    except ValueError as error:
        raise ConfigError(f"the images do not fit transform_args: {error}") from error
    return sample

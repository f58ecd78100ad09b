"""Builds the `Teacher` that the options name, and loads its weights completely."""

from __future__ import annotations

import copy
import glob
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from torch import nn

from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts import ModelWrapper, RunContext
from lightly_core.download import fetch
from lightly_core.download.cache import digest_of
from lightly_core.errors import ConfigError
from lightly_core.exporting.weights import LoadReport, load_weights, require_complete
from lightly_core.models.probing import freeze_unused, unfreeze
from lightly_core.models.unwrapping import unwrapped
from lightly_core.models.wrapping import BuiltModel, build_model
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_distillation.config import DistillationConfig
from lightly_distillation.teacher import Normalization, Teacher

log = logging.getLogger(__name__)

_WEIGHTS = "weights"


def build_teacher(config: DistillationConfig, context: RunContext) -> Teacher:
    """Build the teacher that the options name, and load its weights.

    Args:
        config: Options of the method.
        context: Facts of the run.

    Raises:
        UnknownModelError: No installed plugin provides the teacher.
        ConfigError: The teacher cannot be built or wrapped, or the weights do not fill it.
        PluginError: The plugin that provides it cannot be used.
    """
    asked = config.teacher
    name = asked if isinstance(asked, str) else asked.name
    source = config.teacher_weights or config.teacher_url
    arguments = dict(config.teacher_args or {})
    if arguments and not isinstance(asked, str):
        raise ConfigError(
            f"config.method_args.teacher_args: {', '.join(arguments)} given together with a ready "
            f"{name}, expected them with a teacher given by name only"
        )
    if source is not None and _WEIGHTS in arguments:
        raise ConfigError(
            f"config.method_args.teacher_args: '{_WEIGHTS}' is given together with "
            "teacher_weights or teacher_url; keep one of them"
        )
    own = config.teacher_normalize
    normalization: Normalization | None = None if own is None else (own.mean, own.std)
    with _explained():
        built = _build(asked, arguments, source, context)
        if source is not None:
            _fill(built, name, source, context)
        _warn_if_untrained(built.wrapper, name)
        teacher = Teacher(
            built.wrapper,
            context,
            name=name,
            normalization=normalization,
            # "auto" is left where a method is built without a run.
            precision="fp32" if config.teacher_precision == "auto" else config.teacher_precision,
            chunk_size=config.teacher_chunk_size,
            compiled=config.teacher_compile,
        )
    size = sum(parameter.numel() for parameter in built.wrapper.parameters())
    log.info(
        "Teacher %s: %.1f million parameters, %d x %d features of dimension %d",
        name,
        size / 1e6,
        *teacher.grid,
        teacher.dim,
    )
    return teacher


def _build(
    asked: str | PythonObject, arguments: dict[str, object], source: str | None, context: RunContext
) -> BuiltModel:
    if isinstance(asked, str):
        model: object = asked
        if source is not None and _loads_weights(asked):
            arguments = {**arguments, _WEIGHTS: source}
    else:
        try:
            # The teacher is frozen and moved; the user's object may even be the student.
            plain = unwrapped(asked.value) if isinstance(asked.value, nn.Module) else asked.value
            model = copy.deepcopy(plain)
        except ConfigError:
            raise
        except Exception as error:  # modules may hold anything
            raise ConfigError(
                f"{asked} cannot be copied, which is needed to freeze it: "
                f"{type(error).__name__}: {error}"
            ) from error
    return build_model(
        cast(nn.Module, model),
        catalog=get_plugins().catalog,
        num_input_channels=context.input_channels,
        model_args=arguments,
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Add to errors about a model that the model is the teacher."""
    try:
        yield
    except ConfigError as error:
        hint = ""
        if "model_args" in str(error):
            hint = (
                "\n  for a teacher, model_args are method_args.teacher_args; a file or address of "
                "weights is method_args.teacher_weights or method_args.teacher_url"
            )
        raise type(error)(f"config.method_args.teacher: {error}{hint}") from error


def _loads_weights(name: str) -> bool:
    """Return whether the library loads a weights file itself, instead of its own download."""
    record, _ = get_plugins().catalog.model(name)
    return bool(getattr(load_target(record), "loads_weights", False))


def _fill(built: BuiltModel, name: str, source: str, context: RunContext) -> None:
    """Load a weights file, unless the library has done so, and log how many tensors matched."""
    file = fetch(source, what=f"weights of teacher {name}")
    total = len(built.wrapper.get_model().state_dict())
    loaded = total
    if built.name is None or not _loads_weights(built.name):
        report = load_weights(built.wrapper, file, library=built.library)
        _require_all_but_classifier(report, built.wrapper, context)
        loaded = len(report.matched)
        total = loaded + len(report.missing) + len(report.mismatched_shapes)
    log.info(
        "Teacher %s: %d of %d tensors from %s, sha256 %s",
        name,
        loaded,
        total,
        file,
        digest_of(file)[:12],
    )


def _require_all_but_classifier(
    report: LoadReport, wrapper: ModelWrapper, context: RunContext
) -> None:
    """Refuse weights that leave a part of the features random, or are those of a larger model."""
    if report.complete:
        return
    wrapper.requires_grad_(True)
    unused = freeze_unused(wrapper, context.input_channels, context.image_size)
    allowed = {
        name for part in (wrapper, wrapper.get_model()) for name in _names_without_gradient(part)
    }
    unfreeze(wrapper, unused)
    roots = {name.partition(".")[0] for name in (*report.matched, *report.missing)}
    outside = [name for name in report.unexpected if name.partition(".")[0] not in roots]
    require_complete(
        report,
        allowed_missing=[*map(glob.escape, allowed), "*num_batches_tracked"],
        allowed_unexpected=map(glob.escape, outside),
        hint="give the file of exactly this model; a partly random teacher is useless",
    )


def _names_without_gradient(module: nn.Module) -> Iterator[str]:
    """Yield parameters that are frozen, and buffers of modules whose parameters are."""
    for path, child in module.named_modules():
        own = dict(child.named_parameters(recurse=False))
        frozen = [name for name, parameter in own.items() if not parameter.requires_grad]
        if own and len(frozen) == len(own):
            frozen += [name for name, _ in child.named_buffers(recurse=False)]
        yield from (f"{path}.{name}" if path else name for name in frozen)


def _warn_if_untrained(wrapper: ModelWrapper, name: str) -> None:
    if looks_untrained(wrapper):
        log.warning(
            "Teacher %s seems to have random weights, and random weights teach nothing: all its "
            "norms are as they are before training. Give trained ones with "
            "method_args.teacher_weights, teacher_url or teacher_args.",
            name,
        )


def looks_untrained(module: nn.Module) -> bool:
    """Return whether all norms have the constant values of their initialisation.

    Training changes all of them. A network without norms counts as trained, and so does one on the
    meta device.
    """
    scales = [
        tensor
        for child in module.modules()
        if re.search(r"norm", type(child).__name__, re.IGNORECASE)
        for tensor in _float_tensors(child)
    ]
    if any(tensor.is_meta for tensor in scales):
        return False
    return bool(scales) and all(bool((tensor == tensor.flatten()[0]).all()) for tensor in scales)


def _float_tensors(module: nn.Module) -> Iterator[nn.Parameter]:
    tensors: Mapping[str, object] = dict(module.named_parameters(recurse=False))
    for tensor in (*tensors.values(), *module.buffers(recurse=False)):
        tensor = cast(nn.Parameter, tensor)
        if tensor.is_floating_point() and tensor.numel() > 1:
            yield tensor

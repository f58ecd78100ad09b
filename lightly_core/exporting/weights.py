"""Load weights into models where names and shapes agree, and report the rest."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from lightly_core.contracts import ModelLibrary, ModelWrapper
from lightly_core.errors import ConfigError
from lightly_core.exporting.reading import (
    CHECKPOINT_KEY,
    PREFIX_KEY,
    only_tensors,
    read_weights,
    some,
)

__all__ = [
    "CHECKPOINT_KEY",
    "PREFIX_KEY",
    "WRAPPER_PREFIXES",
    "LoadReport",
    "load_weights",
    "read_weights",
    "require_complete",
]

log = logging.getLogger(__name__)

#: Prefixes that trainers and wrappers add to the names of tensors, in any combination.
WRAPPER_PREFIXES = frozenset({"module", "model", "backbone", "wrapper", "method", "_orig_mod"})


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of a file were loaded, and which were not.

    Attributes:
        path: The file.
        matched: Tensors of the model that were loaded.
        missing: Tensors of the model that the file does not have.
        unexpected: Tensors of the file that the model does not have.
        mismatched_shapes: Tensors with another shape in the file, not loaded: name, shape in the
            file, shape in the model.
    """

    path: Path
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched_shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether the file has exactly the tensors of the model."""
        return not (self.missing or self.unexpected or self.mismatched_shapes)

    @property
    def matched_share(self) -> float:
        """Fraction of the model's tensors that were loaded, in [0, 1]."""
        return self._fraction(self.missing)

    @property
    def used_share(self) -> float:
        """Fraction of the file's tensors that were loaded, in [0, 1]."""
        return self._fraction(self.unexpected)

    def summary(self) -> str:
        """Return one paragraph that names up to five tensors of each kind."""
        total = len(self.matched) + len(self.missing) + len(self.mismatched_shapes)
        parts = [f"{self.path}: {len(self.matched)} of {total} tensors loaded"]
        shapes = [f"{name} {got} instead of {want}" for name, got, want in self.mismatched_shapes]
        for what, names in (
            ("not in the file", self.missing),
            ("not in the model", self.unexpected),
            ("of another shape, left as they were", shapes),
        ):
            if names:
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                parts.append(f"{len(names)} {what}: {shown}")
        return "; ".join(parts)

    def _fraction(self, others: tuple[str, ...]) -> float:
        total = len(self.matched) + len(others) + len(self.mismatched_shapes)
        return len(self.matched) / total if total else 1.0


def load_weights(
    wrapper: ModelWrapper,
    path: str | Path,
    *,
    strict: bool = False,
    library: ModelLibrary | None = None,
) -> LoadReport:
    """Load the weights whose names and shapes agree with a model.

    Heads and tensors of other shapes are skipped. Prefixes of the names in the file
    (`WRAPPER_PREFIXES`) are removed where more names agree without them.

    A file of another model is refused, since training would start from random weights unnoticed.
    A file is taken for one of another model if fewer than half of its tensors fit and fewer than
    half of the model's tensors are loaded. A file for a part of the model (a backbone for a
    detector) is loaded with a warning that contains the counts. A file with more than the model (a
    student and its teacher) is loaded without a warning. To load less, filter the tensors that
    `read_weights` returns.

    Args:
        wrapper: Weights are loaded into its `get_model()`, or into the wrapper itself if the file
            has further tensors of it, such as the convolution of ``embed_dim``.
        path: See `read_weights`.
        strict: Refuse anything but a complete match.
        library: Lists the pickled modules that may be read, and converts published layouts to
            that of the model, see `ModelLibrary.translate_weights`.

    Returns:
        What was loaded and what was not.

    Raises:
        ConfigError: The file cannot be read, little or nothing in it fits, or `strict` is set and
            not everything fits. The model is unchanged.
    """
    tensors = read_weights(path, pickled_modules=library.pickled_modules if library else ())
    module, found = _best_target(wrapper, tensors, library)
    own = only_tensors(module.state_dict())
    fitting = {
        name: tensor
        for name, tensor in found.items()
        if name in own and tensor.shape == own[name].shape
    }
    report = LoadReport(
        path=Path(path),
        matched=tuple(fitting),
        missing=tuple(name for name in own if name not in found),
        unexpected=tuple(name for name in found if name not in own),
        mismatched_shapes=tuple(
            (name, tuple(tensor.shape), tuple(own[name].shape))
            for name, tensor in found.items()
            if name in own and name not in fitting
        ),
    )
    model = type(wrapper.get_model()).__name__
    if not fitting:
        raise ConfigError(
            f"no tensor of {path} fits {model}"
            f"\n  the file has {some(tensors)}; the model has {some(own)}"
            "\n  give the file of a run with the same model, or omit checkpoint"
        )
    if strict and not report.complete:
        raise ConfigError(f"weights do not match the model exactly\n  {report.summary()}")
    _refuse_another_model(report, model, len(own))
    module.load_state_dict(_with_versions(fitting, module), strict=False)
    log.info("Weights: %s", report.summary())
    return report


def _with_versions(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return tensors with the versions of a module's parts, which its own state dict has.

    Without them some modules take the tensors for those of an older version of themselves, and
    change their own layers (MNASNet of torchvision). All names and shapes are those of `module`.
    """
    state: OrderedDict[str, Tensor] = OrderedDict(tensors)
    if (versions := getattr(module.state_dict(), "_metadata", None)) is not None:
        state._metadata = versions  # type: ignore[attr-defined]
    return state


def require_complete(
    report: LoadReport,
    *,
    allowed_missing: Iterable[str] = (),
    allowed_unexpected: Iterable[str] = (),
    hint: str = "",
) -> None:
    """Raise if a part of the model kept its random weights.

    For builders of pretrained models, where anything but a complete load is a mistake. Tensors of
    the file that the model does not have are refused too: a file of a deeper model would fill a
    shallower one completely.

    Args:
        report: Result of `load_weights`. The tensors that match are already loaded, so do not use
            the model if this raises.
        allowed_missing: Patterns, as in `fnmatch`, for tensors of the model that the file need not
            have in the right shape, such as ``"head.*"``.
        allowed_unexpected: Patterns for tensors of the file that the model need not have.
        hint: Last line of the message, which states what to do.

    Raises:
        ConfigError: Some tensors were not loaded; the message has counts and names.
    """
    missing = _not_matching(report.missing, allowed_missing)
    names = [name for name, _, _ in report.mismatched_shapes]
    shapes = set(_not_matching(names, allowed_missing))
    unexpected = _not_matching(report.unexpected, allowed_unexpected)
    refused = LoadReport(
        path=report.path,
        matched=report.matched,
        missing=missing,
        unexpected=unexpected,
        mismatched_shapes=tuple(row for row in report.mismatched_shapes if row[0] in shapes),
    )
    if not refused.complete:
        lines = ["these weights are not complete", refused.summary(), hint]
        raise ConfigError("\n  ".join(line for line in lines if line))


def _not_matching(names: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    patterns = tuple(patterns)
    return tuple(
        name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)
    )


def _refuse_another_model(report: LoadReport, model: str, size: int) -> None:
    if report.matched_share >= 0.5:
        return
    counts = f"{len(report.matched)} of {size} tensors of {model}"
    if report.used_share < 0.5:
        raise ConfigError(
            f"{report.path} looks like a file of another model: only {counts} fit"
            f"\n  {report.summary()}"
            "\n  give the file of a run with the same model, or omit checkpoint; to start "
            "from the few that fit, load them into the module yourself and pass it as model"
        )
    log.warning(
        "Only %s are in %s; the others keep the values they had, which are random unless "
        "the model came with weights.",
        counts,
        report.path,
    )


def _best_target(
    wrapper: ModelWrapper, tensors: Mapping[str, Tensor], library: ModelLibrary | None
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the module that matches most tensors, and the tensors with its names."""
    best: tuple[nn.Module, dict[str, Tensor]] | None = None
    most = -1
    for module in _modules(wrapper):
        own = module.state_dict().keys()
        # Published layouts are converted to that of the user's own module.
        translating = library if module is wrapper.get_model() else None
        for candidate in _candidates(tensors, module, translating):
            agreeing = len(candidate.keys() & own)
            # Of equal candidates the first wins: the user's own module, with few prefixes removed.
            if agreeing > most:
                best, most = (module, candidate), agreeing
    assert best is not None
    return best


def _modules(wrapper: ModelWrapper) -> list[nn.Module]:
    model = wrapper.get_model()
    whole = cast(nn.Module, wrapper)
    # `get_model` of a wrapper written for another framework may return any object.
    return [model, whole] if isinstance(model, nn.Module) and model is not whole else [whole]


def _candidates(
    tensors: Mapping[str, Tensor], module: nn.Module, library: ModelLibrary | None
) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors without each of the prefixes, converted and not converted."""
    for prefix in _prefixes(tensors):
        stripped = _without_prefix(tensors, prefix)
        if library is not None:
            yield dict(library.translate_weights(stripped, module))
        yield stripped


def _prefixes(names: Iterable[str]) -> list[str]:
    """Return the possible prefixes of a model's names, shortest first, with the empty one."""
    found = {"": None}
    for name in names:
        parts = name.split(".")
        for depth, part in enumerate(parts[:-1], start=1):
            if part not in WRAPPER_PREFIXES:
                break
            found[".".join(parts[:depth]) + "."] = None
    return sorted(found, key=len)


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove a prefix from names that have it. On a clash, the name that had it is kept."""
    stripped = {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            stripped.setdefault(name, tensor)
    return stripped

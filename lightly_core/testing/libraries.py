"""Checks of model libraries, on a few of their models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelLibrary, ModelWrapper
from lightly_core.errors import ConfigError, PluginError, UnknownModelError
from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.wrapping import BuiltModel
from lightly_core.parts.state import portable_state_dict
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.plugins.model_facts import facts_of, read_facts
from lightly_core.plugins.model_names import model_names
from lightly_core.plugins.records import ModelsRecord
from lightly_core.testing.capabilities import (
    declared_capability_checks,
    undeclared_capability_checks,
)
from lightly_core.testing.checks import Check, require
from lightly_core.testing.sizes import one_of_each_pattern, require_any_size
from lightly_core.testing.wrapper_case import WrapperCase
from lightly_core.testing.wrappers import case_checks

_CHANNELS = 3
_UNKNOWN = "no-such-model"
_UNKNOWN_ARGUMENT = "no_such_argument"


@dataclass(frozen=True)
class ModelExample:
    """A model to run the checks on.

    Attributes:
        name: Name without the prefix of the library.
        model_args: Arguments of the library's constructor.
        image_size: Side in pixels that the model accepts, preferably a multiple of its stride.
        capabilities: The protocols of `lightly_core.contracts.capabilities` that the wrapper
            must have, no more and no fewer. None: detected when the checks run.
    """

    name: str
    model_args: Mapping[str, object] = field(default_factory=dict)
    image_size: int = 64
    capabilities: Collection[type] | None = None

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={value}" for key, value in self.model_args.items())
        return f"{self.name}({arguments})" if arguments else self.name


@dataclass(frozen=True, eq=False)
class _LibraryCase:
    """A library and one of its models."""

    record: ModelsRecord
    load: Callable[[], ModelLibrary]
    example: ModelExample
    # A complete list must contain all of them. Other lists may omit some, such as paths.
    examples: tuple[str, ...]
    # None: the case searches for a size that the model accepts.
    image_size: int | None

    @property
    def library(self) -> ModelLibrary:
        return self.load()

    def create(self, channels: int = _CHANNELS) -> ModelWrapper:
        return self.library.create(
            self.example.name,
            num_input_channels=channels,
            model_args=dict(self.example.model_args),
        )

    @cached_property
    def wrapper(self) -> WrapperCase:
        return WrapperCase(self.create, self.image_size, _CHANNELS, self.create)

    def trained(self, channels: int = _CHANNELS) -> BuiltModel:
        """Return a model with weights that no new one has. Checks must not change it."""
        if channels == _CHANNELS:
            wrapper = self.wrapper.trained()
        else:
            size, factory = self.wrapper.image_size, partial(self.create, channels)
            wrapper = WrapperCase(factory, size, channels).newly_trained()
        name = f"{self.record.name}/{self.example.name}"
        arguments = dict(self.example.model_args)
        return BuiltModel(wrapper, self.library, name, self.example.name, arguments, channels)

    def checks(self) -> list[Check]:
        """Return N3, N5, E1, E2, W1 to W13 and those of capabilities."""
        subject, capabilities = str(self.example), self.example.capabilities
        checks = _listed(_EXAMPLE_CHECKS, self, subject)
        checks += case_checks(self.wrapper, subject=subject)
        if capabilities is None:
            return checks + undeclared_capability_checks(self.wrapper, subject=subject)
        return checks + declared_capability_checks(self.wrapper, capabilities, subject=subject)


def model_library_checks(
    prefix: str, *, examples: Sequence[str | ModelExample] | None = None
) -> list[Check]:
    """Return the checks of an installed model library.

    This builds no model. If `examples` are given, it does not import the library either.

    Args:
        prefix: Part of the models' names before the slash.
        examples: Models to try. Default: the library's own `ModelLibrary.examples`, or else the
            first model that the plugin lists. If an example is a plain name, the checks search for
            an image size that the model accepts.

    Returns:
        N1, N2 and N4 for the library. For each example N3, N5, E1, E2 and those of
        `wrapper_checks`, with `Check.subject` set to the example. W12 tries 1 and 4 channels. If an
        example declares its capabilities, they are checked by A0 and separate checks. Otherwise a
        single check, A, detects and checks them all.

    Raises:
        UnknownModelError: No installed plugin provides the library.
        PluginError: It cannot be imported, or there is no model to check.
    """
    record = get_plugins().catalog.get("models", prefix)

    @cache
    def load() -> ModelLibrary:
        return _load(record)

    chosen = examples or load().examples or model_names(record)[:1]
    if not chosen:
        raise PluginError(
            f"{record.label} of {record.owner} lists no models to check"
            "\n  set `examples` on the library, or pass examples"
        )
    names = tuple(example if isinstance(example, str) else example.name for example in chosen)
    cases = []
    for given in chosen:
        example = ModelExample(given) if isinstance(given, str) else given
        size = None if isinstance(given, str) else given.image_size
        cases.append(_LibraryCase(record, load, example, names, size))
    checks = _listed(_LIBRARY_CHECKS, cases[0], "")
    return checks + [check for case in cases for check in case.checks()]


def _load(record: ModelsRecord) -> ModelLibrary:
    loaded = load_target(record)
    if not (isinstance(loaded, type) and issubclass(loaded, ModelLibrary)):
        raise PluginError(
            f"target of {record.label} of {record.owner}: expected a subclass of ModelLibrary, "
            f"got {loaded!r}"
        )
    return loaded()


def _listed(
    table: Mapping[str, tuple[str, Callable[[_LibraryCase], None]]],
    case: _LibraryCase,
    subject: str,
) -> list[Check]:
    return [
        Check(code, title, partial(function, case), subject)
        for code, (title, function) in table.items()
    ]


# -------------------------------------------------------------------------------- names


def _names(case: _LibraryCase) -> None:
    known = set(case.library.names())
    missing = [name for name in case.library.examples if name not in known]
    require(not missing, f"names() does not contain the library's own examples {missing}")
    if case.record.complete and case.record.names is not None:
        listed = model_names(case.record)
        missing = [name for name in (*listed, *case.examples) if name not in known]
        require(
            not missing,
            f"the plugin's list is registered as complete, but {len(missing)} of its names are "
            f"missing in names(): {missing[:5]}",
        )


def _unknown_name(case: _LibraryCase) -> None:
    name = f"{case.example.name}-{_UNKNOWN}"
    try:
        case.library.create(name, num_input_channels=_CHANNELS, model_args={})
    except UnknownModelError as error:
        require(name in str(error), f"the error for the unknown '{name}' does not name it: {error}")
        return
    except Exception as error:
        raise AssertionError(
            f"create('{name}') raised {type(error).__name__} ({error}), expected UnknownModelError"
        ) from error
    raise AssertionError(f"create('{name}') returned a model, expected UnknownModelError")


def _any_size(case: _LibraryCase) -> None:
    require_any_size(case.library, one_of_each_pattern(case.record))


def _unknown_argument(case: _LibraryCase) -> None:
    arguments = {**case.example.model_args, _UNKNOWN_ARGUMENT: 1}
    try:
        case.library.create(case.example.name, num_input_channels=_CHANNELS, model_args=arguments)
    except ConfigError as error:
        require(
            _UNKNOWN_ARGUMENT in str(error),
            f"the error for model_args {arguments} does not name '{_UNKNOWN_ARGUMENT}': {error}",
        )
        return
    except Exception as error:
        raise AssertionError(
            f"model_args {arguments} raised {type(error).__name__} ({error}), expected ConfigError"
        ) from error
    raise AssertionError(f"model_args {arguments} were accepted, expected ConfigError")


def _facts(case: _LibraryCase) -> None:
    known = facts_of(case.example.name, read_facts(case.record))
    if known is None or known.parameters is None or case.example.model_args:
        return  # there is nothing to compare, or the arguments change the network
    wrapper = case.create()
    parameters = sum(parameter.numel() for parameter in wrapper.get_model().parameters())
    require(
        (parameters, wrapper.feature_dim()) == (known.parameters, known.feature_dim),
        f"{case.record.facts} has {known.parameters} parameters and feature dimension "
        f"{known.feature_dim}, but the model has {parameters} and {wrapper.feature_dim()}",
    )


# -------------------------------------------------------------------------------- files


def _snippet(case: _LibraryCase) -> None:
    for channels in (_CHANNELS, 1):
        try:
            built = case.trained(channels)
        except ConfigError:
            require(channels != _CHANNELS, f"the model does not accept {channels} channels")
            continue
        require_export_round_trip(built)


def require_export_round_trip(built: BuiltModel) -> None:
    """Export a model, run the printed code, and compare all tensors.

    Args:
        built: A model of a library.

    Raises:
        AssertionError: The code creates no module called ``model``, or tensors differ.
    """
    assert built.library is not None
    with tempfile.TemporaryDirectory() as folder:
        native, _ = export_model(built, built.wrapper, Path(folder), "exported", {})
        code = snippet(built, native)
        scope: dict[str, object] = {"__name__": "__main__"}
        exec(compile(code, "<snippet>", "exec"), scope)
    model = scope.get("model")
    require(
        isinstance(model, nn.Module),
        f"expected a module called 'model' from the snippet, got {type(model).__name__}:\n{code}",
    )
    what = f"{built.num_input_channels} channels"
    module = built.wrapper.get_model()
    _require_same_tensors(cast(nn.Module, model), module, built.library, what)


def _require_same_tensors(
    found: nn.Module, expected: nn.Module, library: ModelLibrary, what: str
) -> None:
    """Raise if tensors differ, after prefixes are removed and layouts of the library converted."""
    wanted = portable_state_dict(expected)
    tensors = _below_prefix(portable_state_dict(found), wanted)
    if tensors.keys() != wanted.keys():
        tensors = dict(library.translate_weights(portable_state_dict(found), expected))
    missing, extra = wanted.keys() - tensors.keys(), tensors.keys() - wanted.keys()
    require(
        not (missing or extra),
        f"the snippet's model ({what}) lacks {sorted(missing)[:5]}, has extra {sorted(extra)[:5]}",
    )
    wrong = [name for name, tensor in wanted.items() if not torch.equal(tensors[name], tensor)]
    require(
        not wrong,
        f"{len(wrong)} of {len(wanted)} tensors of the snippet's model ({what}) differ from the "
        f"saved ones: {wrong[:5]}",
    )


def _below_prefix(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix that a library's own object around the module adds to all names."""
    first = next(iter(wanted), "")
    prefixes = {name[: -len(first)] for name in tensors if first and name.endswith("." + first)}
    for prefix in prefixes:
        if all(name.startswith(prefix) for name in tensors):
            return {name[len(prefix) :]: tensor for name, tensor in tensors.items()}
    return tensors


def _weights_files(case: _LibraryCase) -> None:
    built = case.trained()
    expected = portable_state_dict(built.wrapper.get_model())
    with tempfile.TemporaryDirectory() as folder:
        for file in export_model(built, built.wrapper, Path(folder), "exported", {}):
            fresh = case.wrapper.copied()
            report = load_weights(fresh, file, library=case.library)
            require(report.complete, f"{file.suffix} loads incompletely: {report.summary()}")
            found = portable_state_dict(fresh.get_model())
            wrong = [name for name in expected if not torch.equal(found[name], expected[name])]
            require(not wrong, f"{file.suffix} changed {len(wrong)} tensors: {wrong[:5]}")


_LIBRARY_CHECKS: dict[str, tuple[str, Callable[[_LibraryCase], None]]] = {
    "N1": ("library_knows_every_name_that_is_listed", _names),
    "N2": ("unknown_name_is_refused", _unknown_name),
    "N4": ("models_of_any_size_take_small_images", _any_size),
}

_EXAMPLE_CHECKS: dict[str, tuple[str, Callable[[_LibraryCase], None]]] = {
    "N3": ("unknown_model_args_are_refused", _unknown_argument),
    "N5": ("facts_for_lists_are_those_of_the_model", _facts),
    "E1": ("saved_file_and_snippet_give_the_model_back", _snippet),
    "E2": ("exported_files_load_completely", _weights_files),
}

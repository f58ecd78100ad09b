"""Checks of methods, on a tiny backbone and random images."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

import attrs
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from lightly_core.config.options.method import MethodConfig, unresolved
from lightly_core.config.options.optim import AdamWArgs
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.contracts import Batch, Method, ModelWrapper, StepResult
from lightly_core.errors import LightlyError, MissingCapabilityError
from lightly_core.optim.build import build_optimizer
from lightly_core.parts.known_shapes import KnownShapes
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.testing.checks import Check, require
from lightly_core.testing.method_case import MethodCase
from lightly_core.testing.models import TinyConv, TinyTokens

_FITTING_STEPS = 20
_LEARNING_RATE = 1e-3
# Functions that may get tensors on two devices: copies between devices, indexing with an index on
# the CPU, and what `Module.to` calls (the last one).
_MIXING = (
    *("to", "type_as", "copy_", "__getitem__", "__setitem__", "index_put_"),
    "_has_compatible_shallow_copy_type",
)


def method_checks(
    name: str,
    *,
    method_args: Mapping[str, object] | None = None,
    fit_args: Mapping[str, object] | None = None,
    wrapper: Callable[[], ModelWrapper] | None = None,
    batch_size: int = 8,
    image_size: int = 32,
) -> list[Check]:
    """Return the checks of an installed method.

    Args:
        name: Name of the method in the settings.
        method_args: Options that differ from the defaults, for example to make the method small.
        fit_args: Additional options for M2 only, which requires that twenty steps lower the loss.
            Use them to fix the target of all steps, such as a teacher that is not updated.
        wrapper: Returns a new backbone at each call. None: `TinyConv`, or `TinyTokens` if the
            method requires a capability that `TinyConv` lacks.
        batch_size: Images in the batch.
        image_size: Side of the largest view in pixels; smaller views get half of it.

    Returns:
        One check for each requirement, M1 to M11. The first that runs loads the method.
    """

    @cache
    def case() -> MethodCase:
        record = get_plugins().catalog.get("method", name)
        method_class = cast(type[Method[Any]], load_target(record))
        config_class = cast(type[MethodConfig], load_config(record))
        arguments = method_args or {}
        found = MethodCase(
            method_class, config_class, arguments, wrapper or TinyConv, batch_size, image_size
        )
        if wrapper is None and _lacks_capability(found):
            return replace(found, wrapper=TinyTokens)
        return found

    def fitting() -> MethodCase:
        return replace(case(), method_args={**case().method_args, **(fit_args or {})})

    return _checks(case, fitting)


def method_class_checks(case: MethodCase) -> list[Check]:
    """Return the checks of `method_checks` for a class that no plugin registers."""
    return _checks(lambda: case, lambda: case)


def _checks(case: Callable[[], MethodCase], fitting: Callable[[], MethodCase]) -> list[Check]:
    def run(function: Callable[[MethodCase], None]) -> None:
        function(fitting() if function is _fits_one_batch else case())

    return [
        Check(code, title, partial(run, function)) for code, (title, function) in _CHECKS.items()
    ]


def _optimizer(method: Method[Any]) -> Optimizer:
    device = next(iter(method.parameters())).device
    groups = method.parameter_groups()
    return build_optimizer(groups, "adamw", AdamWArgs(), peak_lr=_LEARNING_RATE, device=device)


def _train(method: Method[Any], batch: Batch, steps: int, optimizer: Optimizer) -> list[float]:
    """Take optimizer steps as a run does; return the loss before each."""
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = method.training_step(batch, step).loss
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            method.before_step(step)
        optimizer.step()
        with torch.no_grad():
            method.after_step(step + 1)
        losses.append(loss.item())
    return losses


def _first_step(case: MethodCase) -> tuple[Method[Any], StepResult]:
    method = case.build()
    return method, method.training_step(case.batch(), 0)


def _loss(case: MethodCase) -> None:
    method, result = _first_step(case)
    left = unresolved(method.config)
    require(not left, f"resolve() leaves 'auto' in {', '.join(left)}")
    loss = result.loss
    require(loss.shape == (), f"the loss has shape {tuple(loss.shape)}, expected a scalar")
    require(torch.isfinite(loss), f"the loss is {loss.item()}, expected a finite number")
    require(loss.requires_grad, "the loss has no gradient")


def _fits_one_batch(case: MethodCase) -> None:
    method = case.build()
    losses = _train(method, case.batch(), _FITTING_STEPS, _optimizer(method))
    first, last = sum(losses[:3]) / 3, sum(losses[-3:]) / 3
    require(
        last < first,
        f"{_FITTING_STEPS} steps on one batch changed the loss from {first:.4g} to {last:.4g}, "
        "expected a lower loss",
    )


def _groups(case: MethodCase) -> None:
    method = case.build()
    counts: dict[int, int] = {}
    for group in method.parameter_groups():
        for parameter in group.parameters:
            counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    wrong = {
        name: counts.get(id(parameter), 0)
        for name, parameter in method.named_parameters()
        if counts.get(id(parameter), 0) != int(parameter.requires_grad)
    }
    require(
        not wrong,
        f"trainable parameters must be in one group, frozen ones in none; groups per name: {wrong}",
    )
    foreign = counts.keys() - {id(parameter) for parameter in method.parameters()}
    require(not foreign, f"{len(foreign)} parameters in groups are not parameters of the method")


def _frozen_parts(case: MethodCase) -> None:
    method = case.build()
    frozen = {name: p for name, p in method.named_parameters() if not p.requires_grad}
    before = {name: parameter.clone() for name, parameter in frozen.items()}
    optimizer = _optimizer(method)
    method.training_step(case.batch(), 0).loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for name, parameter in frozen.items():
        require(parameter.grad is None, f"'{name}' is frozen and got a gradient")
        require(
            torch.equal(parameter, before[name]),
            f"'{name}' is frozen and changed in the step; only after_step may change it",
        )


def _resume(case: MethodCase) -> None:
    batch = case.batch()
    method, fresh = case.build(seed=0), case.build(seed=1)
    _train(method, batch, 2, _optimizer(method))
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    losses = []
    for one in (method, fresh):
        torch.manual_seed(2)
        losses.append(one.training_step(batch, 2).loss.item())
    require(
        losses[0] == losses[1],
        f"the next loss is {losses[0]}, but {losses[1]} after saving and loading; "
        "register state that is not a parameter as a buffer",
    )


def _seed(case: MethodCase) -> None:
    runs = []
    for _ in range(2):
        method = case.build(seed=0)
        runs.append(_train(method, case.batch(), 3, _optimizer(method)))
    require(
        runs[0] == runs[1], f"two runs with the same seed have the losses {runs[0]} and {runs[1]}"
    )


def _metrics(case: MethodCase) -> None:
    method, batch = case.build(), case.batch()
    names: set[str] | None = None
    for step in range(3):
        metrics = dict(method.training_step(batch, step).metrics)
        schedules = method.scheduled_values(step)
        metrics.update({f"schedule/{name}": value for name, value in schedules.items()})
        names = set(metrics) if names is None else names
        require(
            set(metrics) == names,
            f"metrics changed from {sorted(names)} to {sorted(metrics)} at step {step}",
        )
        declared = method.config.metric_names()
        missing = set(metrics) - {"train_loss", *(metrics if declared is None else declared)}
        require(
            not missing,
            f"add {', '.join(sorted(missing))} to config.metrics or config.schedules",
        )
        for name, value in metrics.items():
            if isinstance(value, Tensor):
                require(value.shape == (), f"metric '{name}' has shape {tuple(value.shape)}")
                require(not value.requires_grad, f"metric '{name}' is not detached")
            else:
                require(
                    isinstance(value, (int, float)),
                    f"metric '{name}' is {type(value).__name__}, expected a tensor or a float",
                )


def _declared_views(case: MethodCase) -> None:
    declared = case.config_class.default_transform()
    requires, name = case.config_class.requires, case.method_class.__name__.lower()
    num_local = len(declared.view_specs()) - declared.num_views
    for problem in requires.view_problems(name, declared.num_views, num_local):
        raise AssertionError(f"default_transform() does not fit `requires`: {problem}")
    low = requires.global_views[0]
    case = replace(case, image_size=max(declared.size))
    batch = case.views_of(declared)
    sizes = [tuple(view.shape[2:]) for view in batch.views]
    loss = case.build().training_step(batch, 0).loss
    require(torch.isfinite(loss).all(), f"the loss is {loss} with views of {sizes}")
    # Settings with fewer views than `requires` allows are refused before a method is built.
    for transform in _smaller(declared, low):
        views = f"{transform.num_views} of {len(transform.view_specs())} views global"
        try:
            method = case.build(num_views=transform.num_views)
            loss = method.training_step(case.views_of(transform), 0).loss
        except LightlyError as error:
            require(str(error), f"the error with {views} has no message")
            continue
        except Exception as error:
            raise AssertionError(
                f"with {views}, which the settings allow, the step raised "
                f"{type(error).__name__}: {error}; raise ConfigError, or declare it in `requires`"
            ) from error
        require(torch.isfinite(loss).all(), f"the loss is {loss} with {views}")


def _smaller(declared: TransformArgs, fewest: int) -> Iterator[TransformArgs]:
    """Return variants with fewer views, as users may set them."""
    if isinstance(declared, MultiCropTransformArgs):
        fewest = max(fewest, 2)
        if declared.local_view is not None:
            yield attrs.evolve(declared, local_view=None)
    if fewest < declared.num_views:
        yield attrs.evolve(declared, num_views=fewest)


def _fewest_images(case: MethodCase) -> None:
    requires = case.build().config.requirements()
    fewest = max(requires.images, requires.images_per_process)
    case = replace(case, batch_size=fewest)
    try:
        loss = case.build().training_step(case.batch(), 0).loss
        loss.backward()  # type: ignore[no-untyped-call]
    except LightlyError as error:
        require(str(error), f"the error with {fewest} images has no message")
        return
    except Exception as error:
        raise AssertionError(
            f"with {fewest} images, which `requires` allows, the step raised "
            f"{type(error).__name__}: {error}"
        ) from error
    require(torch.isfinite(loss), f"the loss with {fewest} images is {loss.item()}")


def _backbones(case: MethodCase) -> None:
    for backbone in (TinyConv, TinyTokens):
        one = replace(case, wrapper=backbone)
        try:
            loss = one.build().training_step(one.batch(), 0).loss
            loss.backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            if backbone is TinyConv and isinstance(error, MissingCapabilityError):
                continue
            raise AssertionError(
                f"with the backbone {backbone.__name__}: {type(error).__name__}: {error}"
            ) from error
        require(torch.isfinite(loss), f"the loss with {backbone.__name__} is {loss.item()}")


def _lacks_capability(case: MethodCase) -> bool:
    """Return whether the method reports that the backbone lacks a capability."""
    try:
        case.build().training_step(case.batch(), 0)
    except MissingCapabilityError:
        return True
    except Exception:  # Another check will raise it again.
        return False
    return False


class _OneDevice(TorchFunctionMode):
    """Raises at calls that mix devices, many of which "meta" itself accepts."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        given = [*args, *(kwargs or {}).values()]
        given += [member for value in given if isinstance(value, (list, tuple)) for member in value]
        devices = {v.device.type for v in given if isinstance(v, Tensor) and v.ndim > 0}
        name = getattr(func, "__name__", "")
        require(len(devices) < 2 or name in _MIXING, f"{name}() got tensors on {sorted(devices)}")
        return func(*args, **(kwargs or {}))


def _devices(case: MethodCase) -> None:
    # "meta" has shapes and no values, so it also raises at `.item()`, which would synchronise a
    # GPU at each step.
    devices = ["meta", "cuda"] if torch.cuda.is_available() else ["meta"]
    for device in devices:
        method, batch = case.build().to(device), case.batch()
        views = [view.to(device) for view in batch.views]
        crops = [crop.to(device) for crop in batch.crops]
        moved = replace(batch, views=views, indices=batch.indices.to(device), crops=crops)
        with KnownShapes(), _OneDevice():
            loss = method.training_step(moved, 0).loss
        require(
            loss.device.type == device, f"a step on '{device}' returned a loss on '{loss.device}'"
        )
        with KnownShapes():
            loss.backward()  # type: ignore[no-untyped-call]


_CHECKS: dict[str, tuple[str, Callable[[MethodCase], None]]] = {
    "M1": ("loss_is_a_finite_scalar_with_gradient", _loss),
    "M2": ("twenty_steps_on_one_batch_lower_the_loss", _fits_one_batch),
    "M3": ("every_trainable_parameter_is_in_one_group", _groups),
    "M4": ("frozen_parts_change_only_in_after_step", _frozen_parts),
    "M5": ("save_and_load_give_the_same_next_loss", _resume),
    "M6": ("same_seed_same_losses", _seed),
    "M7": ("metric_names_are_stable_and_values_scalars", _metrics),
    "M8": ("works_with_the_views_that_it_declares", _declared_views),
    "M9": ("works_with_every_tiny_backbone_that_has_what_it_needs", _backbones),
    "M10": ("step_follows_the_device", _devices),
    "M11": ("works_with_the_fewest_images_that_it_requires", _fewest_images),
}

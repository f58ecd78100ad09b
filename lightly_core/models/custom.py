"""A user's own module as a backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper, WrapperLike
from lightly_core.errors import ConfigError, near_names
from lightly_core.models.custom_words import choices, named, pixels, shown
from lightly_core.models.layouts import BATCH, Layout, Size, find_layout
from lightly_core.models.outputs import (
    LAST_HIDDEN_STATE,
    OutputShapes,
    entry,
    images_for,
    meta_twin,
    output_shapes,
    run_until,
)
from lightly_core.models.probing import undisturbed
from lightly_core.models.unwrapping import unwrapped, unwrapped_path

Pool = Callable[[Tensor], Tensor]

#: Values of `pool` other than paths and functions.
POOLS = ("avg", "max", "cls")


def wrap(
    module: nn.Module,
    *,
    features: str | None = None,
    pool: str | Pool = "avg",
    num_input_channels: int = 3,
    image_size: int | tuple[int, int] = 224,
    num_prefix_tokens: int | None = None,
) -> ModelWrapper:
    """Turn a module of your own into a backbone, to pass as ``model=``.

    Dimension and layout of the features are found by a trial forward pass. Supported are a map
    (B, D, h, w), a map with channels last (B, h, w, D), and tokens (B, P + h * w, D) with P prefix
    tokens such as a class token. Layers after the features do not run, so a classifier may stay in
    place. The module is not changed, and keeps no hook.

    In a run, a module that is in evaluation mode as a whole is trained in training mode. In any
    other module each part keeps its mode, so a batch norm after ``bn.eval()`` keeps its
    statistics. Frozen parameters stay frozen. `torch.compile`, `DataParallel` and
    `DistributedDataParallel` are unwrapped.

    Example::

        model = lightly_core.wrap(MyResNet(), features="layer4")

    Args:
        module: Module that takes images (B, C, H, W).
        features: Dotted path of the part whose output is used as features, such as
            ``"backbone.stages.3"``. Its first call counts if there are several. None uses the
            output of the module. Of a list, the last map or tokens are used. Of a dict, the
            ``last_hidden_state`` or the only entry that fits. ``"path:key"`` selects another
            entry by key or position, and ``":key"`` an entry of the module's output.
        pool: ``"avg"`` or ``"max"`` over all positions, ``"cls"`` for the first prefix token, the
            path of a part that pools the features in the layout of the module, or a function
            without parameters of the map (B, D, h, w). Part and function return (B, D) or
            (B, D, 1, 1).
        num_input_channels: C.
        image_size: Height and width in pixels, or one number for both, that the module accepts.
            The trial also uses a larger size if the module accepts one.
        num_prefix_tokens: P. None determines it from the shapes.

    Returns:
        A `torch.nn.Module` with the four methods of a wrapper. `get_model` returns `module`. A
        module that is a wrapper already is returned unchanged.

    Raises:
        ConfigError: There is no such part, its output is neither map nor tokens, `pool` does not
            fit it, or the module does not accept such images. The message lists parts that fit.
            Or the module is scripted, traced, or sharded over several devices.
    """
    _check_module(module)
    features = unwrapped_path(module, features) if features else features
    pool = unwrapped_path(module, pool) if isinstance(pool, str) else pool
    module = unwrapped(module, "wrap")
    if isinstance(module, WrapperLike):
        if features is not None or pool != "avg" or num_prefix_tokens is not None:
            raise ConfigError(
                f"wrap: {type(module).__name__} is a wrapper already, and defines its features "
                "itself\n  pass it as model= without wrap, or wrap its get_model()"
            )
        return cast(ModelWrapper, module)
    path, _, key = (features or "").partition(":")
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    size = (height, width)
    _check_path(module, path, "features")
    pool = _as_path(module, pool)
    if isinstance(pool, str) and pool not in POOLS:
        _check_path(module, pool, "pool", POOLS)
    seen = output_shapes(module, path, num_input_channels, size)
    key, layout = _find(module, path, key, seen, num_input_channels, num_prefix_tokens)
    if pool == "cls" and not layout.num_prefix_tokens:
        raise ConfigError(
            f"wrap: pool='cls' takes the first prefix token, but {named(module, path)} gives "
            f"{layout} without any\n  use pool='avg' or 'max'"
        )
    only_size = size if len(seen.at_sizes(path, key)) == 1 else None
    wrapper = CustomWrapper(module, path, key, layout, pool, only_size)
    _check_pool(wrapper, num_input_channels, size)
    return wrapper


class CustomWrapper(ModelWrapper):
    """A backbone around any module. Use `wrap` to create one.

    Shapes: B images, C channels, D = `feature_dim()`, h and w feature positions, P prefix tokens.

    Args:
        model: The user's module.
        path: Path of the part that returns the features, "" for the module itself.
        key: Key or position of the features in the output of that part, "" for the whole output.
        layout: Layout of the features.
        pool: As in `wrap`.
        only_size: The only size that the module accepts, None if there are several.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str,
        key: str,
        layout: Layout,
        pool: str | Pool,
        only_size: Size | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.pool = pool
        self._path = path
        self._key = key
        self._layout = layout
        self._only_size = only_size

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map. Layers after it do not run.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w). With prefix tokens also ``prefix_tokens`` (B, P, D), and
            the first of them as ``cls_token`` (B, D).

        Raises:
            ValueError: The module accepts images of another size only, or returns something else
                than when it was wrapped.
        """
        size = (x.shape[-2], x.shape[-1])
        try:
            output = run_until(self.model, self._path, x)
        except Exception as error:
            if self._only_size in (None, size):
                raise
            raise ValueError(
                f"{type(self.model).__name__} fails on images of {pixels(size)}, as it did on "
                f"all but {pixels(self._only_size)} when it was wrapped: {error}; set "
                f"transform_args.image_size={list(self._only_size)}"
            ) from error
        found = entry(output, self._key)
        if not isinstance(found, Tensor):
            mode = "training" if self.training else "evaluation"
            raise ValueError(
                f"{named(self.model, self._path)} gave {self._layout} when it was wrapped, but "
                f"gives a {type(output).__name__} in {mode} mode; name a part that always gives "
                "the same"
            )
        features, prefix = self._layout.to_map(found, size)
        if prefix is None:
            return {"features": features}
        return {"features": features, "prefix_tokens": prefix, "cls_token": prefix[:, 0]}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool the result of `forward_features`.

        Args:
            x: ``features`` (B, D, h, w) and, if there are any, ``prefix_tokens`` (B, P, D) and
                ``cls_token`` (B, D).

        Returns:
            ``pooled_features`` (B, D, 1, 1).
        """
        features = x["features"]
        if self.pool == "cls" and "cls_token" in x:
            pooled = x["cls_token"]
        elif self.pool == "max":
            pooled = features.amax(dim=(2, 3))
        elif self.pool in ("avg", "cls"):
            pooled = features.mean(dim=(2, 3))
        elif isinstance(self.pool, str):
            part = self.model.get_submodule(self.pool)
            pooled = part(self._layout.from_map(features, x.get("prefix_tokens")))
        else:
            pooled = self.pool(features)
        return {"pooled_features": pooled.flatten(1)[:, :, None, None]}  # (B, D, 1, 1)

    def feature_dim(self) -> int:
        """Return D."""
        return self._layout.dim

    def get_model(self) -> nn.Module:
        """Return the user's module."""
        return self.model


def _find(
    module: nn.Module,
    path: str,
    key: str,
    seen: OutputShapes,
    num_input_channels: int,
    num_prefix_tokens: int | None,
) -> tuple[str, Layout]:
    """Return key and layout of the features."""
    if path not in seen.shapes[0]:
        raise ConfigError(_not_reached(module, path, seen, num_input_channels))
    keys = list(seen.shapes[0][path])
    if key and key not in keys:
        raise ConfigError(
            f"wrap: {named(module, path)} gives no tensor {key!r}, its tensors are "
            f"{shown(seen, path, keys) or 'none'}"
        )
    layouts = {
        name: find_layout(seen.at_sizes(path, name), seen.sizes, num_prefix_tokens)
        for name in ([key] if key else keys)
    }
    fitting = {name: layout for name, layout in layouts.items() if layout is not None}
    if len(fitting) > 1:
        if LAST_HIDDEN_STATE in fitting:
            fitting = {LAST_HIDDEN_STATE: fitting[LAST_HIDDEN_STATE]}
        elif not all(name.isdigit() for name in fitting):
            raise ConfigError(
                f"wrap: {named(module, path)} gives several maps: "
                f"{shown(seen, path, list(fitting))}"
                f'\n  choose one: features="{path}:{list(fitting)[-1]}"'
            )
    if not fitting:
        raise ConfigError(_no_features(module, path, [key] if key else keys, seen))
    name, layout = list(fitting.items())[-1]
    if num_prefix_tokens is not None and layout.kind != "tokens":
        raise ConfigError(
            f"wrap: num_prefix_tokens={num_prefix_tokens} is for tokens (B, T, D), but "
            f"{named(module, path)} gives {layout}\n  remove num_prefix_tokens"
        )
    return name, layout


def _check_module(module: object) -> None:
    if isinstance(module, type):
        raise ConfigError(
            f"wrap: got the class {module.__name__}, expected a module"
            f"\n  pass an instance: {module.__name__}(...)"
        )
    if not isinstance(module, nn.Module):
        names = "; models by name go to model= as they are" if isinstance(module, str) else ""
        raise ConfigError(f"wrap: expected a torch.nn.Module, got {module!r}{names}")


def _check_path(module: nn.Module, path: str, argument: str, words: Sequence[str] = ()) -> None:
    paths = [name for name, _ in module.named_modules(remove_duplicate=False)]
    names = [name for path in paths if (name := unwrapped_path(module, path))]
    if not path or path in names:
        return
    known = [*words, *names]
    near = [name for name in names if name.endswith(f".{path}")]
    near = near[:3] or near_names(path, known)
    children = ", ".join([*words, *(name for name, _ in module.named_children())])
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ConfigError(
        f"wrap: {argument}={path!r}, but {type(module).__name__} has no such part"
        f"\n  {hint}known: {children or 'none'}"
        + (f"; {len(names)} paths in all, see named_modules()" if names else "")
    )


def _as_path(module: nn.Module, pool: str | Pool) -> str | Pool:
    """Return the path of a part that was passed itself. It must not be registered twice."""
    if not isinstance(pool, nn.Module):
        return pool
    path = next((name for name, part in module.named_modules() if part is pool), None)
    if path is None and any(True for _ in pool.parameters()):
        raise ConfigError(
            f"wrap: pool={type(pool).__name__} has parameters, which would be trained and then be "
            f"missing in the exported {type(module).__name__}\n  make it a part of the module and "
            "give its path"
        )
    return pool if path is None else path


def _check_pool(wrapper: CustomWrapper, num_input_channels: int, size: Size) -> None:
    """Try the pooling, on a copy on the meta device if that works."""
    if wrapper.pool in POOLS:
        return
    expected = (BATCH, wrapper.feature_dim())
    reason: object = None
    for twin in (True, False):
        try:
            candidate = meta_twin(wrapper) if twin else wrapper
            with undisturbed(candidate), torch.no_grad():
                images = images_for(candidate, num_input_channels, size)
                found = cast(CustomWrapper, candidate).forward_features(images)
                pooled = cast(CustomWrapper, candidate).forward_pool(found)["pooled_features"]
        except Exception as error:  # The pooling may be code of the user.
            reason = f"fails: {type(error).__name__}: {error}"
            continue
        got = tuple(pooled.shape[:2])
        if got == expected:
            return
        reason = f"gives {got[1]} numbers for each image"
        break
    raise ConfigError(
        f"wrap: pool={wrapper.pool!r} on {wrapper._layout} {reason}"
        f"\n  expected {expected[1]} numbers (B, {expected[1]}) or (B, {expected[1]}, 1, 1); "
        "use 'avg', 'max' or 'cls', or another part"
    )


def _not_reached(module: nn.Module, path: str, seen: OutputShapes, num_input_channels: int) -> str:
    name = type(module).__name__
    if seen.error is None:
        return (
            f"wrap: features={path!r}, but the forward pass of {name} does not call this part"
            + choices(seen)
        )
    convolutions = (part for part in module.modules() if isinstance(part, nn.Conv2d))
    first = next(convolutions, None)
    wanted = num_input_channels if first is None else first.in_channels
    way_out = (
        f"its first convolution takes {wanted} channels: set num_input_channels={wanted}, or "
        f"build it for {num_input_channels}"
        if wanted != num_input_channels
        else "set image_size to a size that it accepts, or name a part before the one that fails"
    )
    return (
        f"wrap: {name} fails on images of {num_input_channels} channels, "
        f"{pixels(seen.sizes[0])}: {type(seen.error).__name__}: {seen.error}\n  {way_out}"
        + choices(seen)
    )


def _no_features(module: nn.Module, path: str, keys: Sequence[str], seen: OutputShapes) -> str:
    what = f"wrap: {named(module, path)} gives {shown(seen, path, keys) or 'no tensor'}"
    for key in keys:
        layout = find_layout(seen.at_sizes(path, key), seen.sizes)
        if layout is not None:  # without the given number of prefix tokens
            return (
                f"{what}, which with the given num_prefix_tokens is not a grid of patches; it "
                f"looks like {layout}\n  remove num_prefix_tokens, or correct it"
            )
    return (
        f"{what}, which is neither a map (B, D, h, w) or (B, h, w, D) nor tokens (B, T, D), "
        "growing with the image" + choices(seen)
    )

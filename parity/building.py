"""Builds methods of the installed plugins with heads that return their input.

B images, D channels, h and w positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lightly_core.config.options.method import RunFacts
from lightly_core.config.reading.structure import structure
from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target

BATCH_SIZE = 8
TOTAL_STEPS = 100


class PassThrough(nn.Module):
    """A backbone that returns its input: each pixel is a patch, its channels are the features.

    Args:
        dim: D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``features`` (B, D, h, w)."""
        return {"features": x}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over positions."""
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return D."""
        return self.dim

    def get_model(self) -> nn.Module:
        """Return the module itself."""
        return self

    def patch_size(self) -> int:
        """Return 1."""
        return 1

    def num_prefix_tokens(self) -> int:
        """Return 0."""
        return 0

    def token_dim(self) -> int:
        """Return D."""
        return self.dim

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width."""
        return height, width

    def forward_tokens(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the pixels as ``patch_tokens`` (B, h * w, D)."""
        tokens = x.flatten(2).transpose(1, 2)
        if mask is not None:
            assert mask_token is not None
            tokens = torch.where(mask[..., None], mask_token, tokens)
        if keep is not None:
            tokens = tokens.gather(1, keep[..., None].expand(-1, -1, self.dim))
        return {"patch_tokens": tokens, "prefix_tokens": tokens[:, :0]}

    def forward_intermediates(
        self, x: Tensor, layers: int | Sequence[int], *, norm: bool = True
    ) -> list[dict[str, Tensor]]:
        """Return the same tokens for each layer."""
        count = layers if isinstance(layers, int) else len(layers)
        return [self.forward_tokens(x)] * count


def build(
    name: str,
    options: Mapping[str, object],
    model: ModelWrapper,
    *,
    image_size: tuple[int, int] = (1, 1),
    num_views: int = 2,
    batch_size: int = BATCH_SIZE,
) -> Method:
    """Return a new method of the installed plugins, in train mode."""
    record = get_plugins().catalog.get("method", name)
    facts = RunFacts(
        dataset_size=1000,
        effective_batch_size=batch_size,
        total_steps=TOTAL_STEPS,
        steps_per_epoch=10,
    )
    config = structure(options, load_config(record), path="method_args").resolve(facts)
    context = RunContext(
        dataset_size=facts.dataset_size,
        global_batch_size=batch_size,
        total_steps=TOTAL_STEPS,
        steps_per_epoch=facts.steps_per_epoch,
        input_channels=3,
        num_views=num_views,
        image_size=image_size,
    )
    method = load_target(record)(config, model, context)
    assert isinstance(method, Method)
    return method.train()


def without_heads(method: Method, paths: Sequence[str]) -> Method:
    """Replace heads by the identity, also those of a teacher, and return the method.

    Args:
        method: Changed in place.
        paths: Names of submodules, such as ``projector``, or ``heads.head`` in a container.
    """
    for path in paths:
        _replace(method, path)
        teacher, inner = getattr(method, "teacher", None), path.removeprefix("heads.")
        if isinstance(teacher, nn.ModuleDict) and inner.partition(".")[0] in teacher:
            _replace(teacher, inner)
    return method


def _replace(owner: nn.Module, path: str) -> None:
    *parents, last = path.split(".")
    setattr(owner.get_submodule(".".join(parents)), last, nn.Identity())


@dataclass(frozen=True)
class StepLoss:
    """The loss of a method's own training step, as a function of the outputs of its heads.

    It is called with the views by name. It returns the loss, or yields the loss of each step.

    Attributes:
        method: Name of the method.
        options: Options of the method.
        heads: Heads that are replaced by the identity, see `without_heads`.
        num_global: Number of global views.
        steps: Number of steps. If it is above 1, it is the first dimension of each argument.
    """

    method: str
    options: Mapping[str, object] = field(default_factory=dict)
    heads: Sequence[str] = ("projector",)
    num_global: int = 2
    steps: int = 1

    def __call__(self, **views: Tensor) -> Tensor | Iterator[Tensor]:
        """Return the loss of views (B, D) or (B, D, h, w), or yield those of the steps."""
        first = next(iter(views.values()))
        if self.steps == 1:
            return step_loss(self.built(first), list(views.values()))
        return take_steps(self.built(first[0]), views.values())

    def built(self, view: Tensor) -> Method:
        """Return the method for views of this shape, without heads."""
        size = (view.shape[2], view.shape[3]) if view.ndim == 4 else (1, 1)
        model = PassThrough(view.shape[1])
        method = build(
            self.method, self.options, model,
            image_size=size, num_views=self.num_global, batch_size=len(view),
        )  # fmt: skip
        return without_heads(method, self.heads)


def step_loss(
    method: Method,
    views: Sequence[Tensor],
    step: int = 0,
    *,
    extras: Mapping[str, Tensor] | None = None,
    crops: Sequence[Tensor] = (),
) -> Tensor:
    """Return the loss of a method's training step for views (B, D) or (B, D, h, w)."""
    images = [view[:, :, None, None] if view.ndim == 2 else view for view in views]
    indices = torch.arange(len(images[0]))
    num_global = method.context.num_views
    batch = Batch(images, indices, dict(extras or {}), crops=list(crops), num_global=num_global)
    return method.training_step(batch, step).loss


def take_steps(
    method: Method, views: Iterable[Tensor], extras: Mapping[str, Tensor] | None = None
) -> Iterator[Tensor]:
    """Yield the loss of each step. The first dimension of each view is the step."""
    for step, batch in enumerate(zip(*views, strict=True)):
        yield step_loss(method, batch, step, extras=extras)
        method.after_step(step + 1)

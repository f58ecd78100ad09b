"""Selects what a method sets before the user's settings: its paper's values, or others."""

from __future__ import annotations

from attrs import define

from lightly_core.config.options.method import MethodConfig, small_recipe
from lightly_core.config.options.optim import OptimizerArgs
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.short_runs import SmallRecipe
from lightly_core.config.options.transform import TransformArgs, with_smaller_local
from lightly_core.config.reading.merging import Layers
from lightly_core.errors import ConfigError


@define(frozen=True)
class Defaults:
    """Values of a method in one of its recipes.

    Attributes:
        config_cls: Option class of the method.
        small: Its values in short runs; None: those of the paper.
    """

    config_cls: type[MethodConfig]
    small: SmallRecipe | None = None

    def method(self) -> MethodConfig | None:
        """Return the options of the method; None: those of its class."""
        return self.config_cls(**self.small.method_args) if self.small else None

    def optimizer_name(self, layers: Layers) -> str:
        """Return the optimizer that ``optim="auto"`` selects.

        Options of an optimizer that the user gives without its name are for that of the paper.
        """
        if self.small is None or layers.merged_group("optim_args", None):
            return self.config_cls.optimizer
        return self.small.optimizer

    def optimizer(self, name: str) -> OptimizerArgs:
        """Return the options of the optimizer called `name`."""
        own = self.small.optimizers.get(name) if self.small else None
        return own or self.config_cls.default_optimizer(name)

    def views(self, layers: Layers) -> TransformArgs:
        """Return the augmentation."""
        paper = self.config_cls.default_transform()
        given = layers.merged_group("transform_args", None).get("image_size")
        size = _size(given) or paper.size
        return self.small.views(paper, size) if self.small else with_smaller_local(paper, size)


def _size(given: object) -> tuple[int, int] | None:
    """Return a size in pixels; None: it is not one, which is reported where it is read."""
    sides = list(given) if isinstance(given, (list, tuple)) else [given] * 2
    known = [side for side in sides if isinstance(side, int) and side > 0]
    return (known[0], known[1]) if len(known) == len(sides) == 2 else None


def chosen_defaults(
    layers: Layers, config_cls: type[MethodConfig], method: str
) -> tuple[Defaults, Defaults | None]:
    """Return the defaults that the setting `recipe` selects.

    Args:
        layers: The given settings.
        config_cls: Option class of the method.
        method: Name of the method.

    Returns:
        The defaults, and with ``recipe=auto`` those of short runs; None: there are none.

    Raises:
        ConfigError: Values for short runs were requested, but the method has none.
    """
    recipe = layers.merged(RunConfig).get("recipe", "auto")
    small = small_recipe(config_cls)
    if recipe == "small" and small is None:
        raise ConfigError(
            f"config.recipe: got 'small', but '{method}' has no values for short runs; use "
            "recipe=paper, or recipe=auto, which takes the paper's where there are no others"
        )
    short = None if small is None else Defaults(config_cls, small)
    if recipe == "small" and short is not None:
        return short, None
    return Defaults(config_cls), short if recipe == "auto" else None

"""Families of timm's models, for the table of what each does."""

from __future__ import annotations

import timm

from lightly_timm.building import create_without_memory


def families() -> list[str]:
    """Return timm's modules with models, such as ``resnet``."""
    return list(timm.list_modules())


def smallest_model(family: str) -> tuple[str, int]:
    """Return a family's model with the fewest parameters, and their number.

    Args:
        family: One of `families`.
    """
    sizes: dict[str, int] = {}
    for name in timm.list_models(module=family):
        model = create_without_memory(name)
        sizes[name] = sum(parameter.numel() for parameter in model.parameters())
    name = min(sizes, key=lambda key: sizes[key])
    return name, sizes[name]

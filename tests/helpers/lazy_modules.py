"""Heavy modules for tests, imported when one of them runs and not while they are collected."""

import importlib


class LazyModule:
    """Stands for a module, and imports it when an attribute is first asked for.

    Args:
        name: As in ``import name``.
    """

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if attribute.startswith("_"):  # pytest asks every name of a test module for its marks
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)

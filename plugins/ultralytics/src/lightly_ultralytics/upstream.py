"""Import ultralytics on first use, without messages and without side effects on other libraries.

Importing ultralytics changes more than its own modules: environment variables, how torch and
numpy print tensors, warning filters, `PIL.Image.open` (its replacement installs a package with
pip when an image cannot be read). All this is restored. What ultralytics itself
needs stays: its own `torch.save` (and `torch.load` in old versions), and the number of OpenCV's
threads.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import PIL.Image
import torch

from lightly_core.errors import PluginError

log = logging.getLogger(__name__)

#: What ultralytics asks the environment for while it is imported. Without it, it looks up hosts
#: on the internet, sends usage data later on, and installs missing packages with pip.
_DURING_IMPORT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}


def upstream(module: str) -> Any:  # noqa: ANN401 - ultralytics has no types
    """Return a module of ultralytics, such as ``ultralytics.nn.tasks``.

    The first import of ultralytics in a process is made as described above. Where the user
    imported it before, nothing is changed.

    Raises:
        PluginError: The first import fails.
    """
    if "ultralytics" not in sys.modules:
        with quietly(), _globals_kept():
            for name, value in _DURING_IMPORT.items():
                os.environ.setdefault(name, value)
            _first_import()
    with quietly():
        return importlib.import_module(module)


def _first_import() -> None:
    try:
        importlib.import_module("ultralytics")
        # The modules that newer versions import lazily have side effects as well.
        importlib.import_module("ultralytics.models")
    except Exception as error:  # What it imports in turn, such as OpenCV, may fail in any way.
        raise PluginError(
            f"ultralytics cannot be imported: {type(error).__name__}: {error}\n  see whether "
            "`python -c 'import ultralytics'` works; where libGL is missing, install "
            "opencv-python-headless in place of opencv-python"
        ) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Run code of ultralytics: its messages become debug messages, the environment is restored."""
    logger = logging.getLogger("ultralytics")
    environment = dict(os.environ)
    outermost = _to_our_log not in logger.filters
    logger.addFilter(_to_our_log)
    try:
        yield
    finally:
        if outermost:
            logger.removeFilter(_to_our_log)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def _to_our_log(record: logging.LogRecord) -> bool:
    log.debug("ultralytics: %s", record.getMessage())
    return False


@contextmanager
def _globals_kept() -> Iterator[None]:
    """Put back what an import of ultralytics changes in other libraries."""
    open_image = PIL.Image.open
    options = torch._tensor_str.PRINT_OPTS
    names = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")
    printing = {name: getattr(options, name) for name in names}
    with ExitStack() as stack:
        stack.enter_context(np.printoptions())
        stack.enter_context(warnings.catch_warnings())
        try:
            yield
        finally:
            PIL.Image.open = open_image
            torch.set_printoptions(**printing)  # type: ignore[no-untyped-call]

"""Refuses entry functions in processes that must not do runs: children of multiprocessing."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from types import FrameType

from lightly_core.errors import ConfigError

#: Set to 1 by a program that means to call an entry function in a child of multiprocessing.
ALLOW_VARIABLE = "LIGHTLY_ALLOW_CHILD"

_GUARD = """
    import lightly_core

    if __name__ == "__main__":
        lightly_core.{function}(...)
"""


def refuse_in_child(function: str) -> None:
    """Raise an error where this process is a child of multiprocessing.

    Three kinds of children are told apart. One that imports the script again, as spawn and
    forkserver do, has come to an unguarded call by mistake. A daemonic one, such as a worker of a
    DataLoader, can start no processes. Any other child may have been started for this call. It is
    refused too, because a forked one may hang in CUDA or OpenMP, and because the caller may not
    know that it is a child; the variable `ALLOW_VARIABLE` in the environment lets it pass.

    Args:
        function: Name of the entry function, such as ``pretrain``.

    Raises:
        ConfigError: This is such a child. Nothing was written or removed.
    """
    # A child has imported this module; others need not, which saves them the time.
    module = sys.modules.get("multiprocessing.process")
    if module is None:
        return
    process = module.current_process()
    guard = _GUARD.format(function=function)
    # CPython marks a process so from its start until it has imported the script.
    if getattr(process, "_inheriting", False):
        script = os.path.basename(sys.argv[0]) if sys.argv else "the script"
        raise ConfigError(
            f"{function}() was called again by a new process, which imports '{script}' to find "
            f"what it is to do. This call was refused, and nothing was written or removed. Put "
            f"the call in '{script}' below a guard, so that only the first process comes to "
            f"it:\n{guard}"
        )
    if module.parent_process() is None:
        return
    if not process.daemon and os.environ.get(ALLOW_VARIABLE) == "1":
        return
    remedy = (
        "a daemonic process can start no loader workers"
        if process.daemon
        else "if a process of its own is meant, start it with subprocess, or with spawn and "
        f"{ALLOW_VARIABLE}=1 in its environment"
    )
    raise ConfigError(
        f"{function}() was called in '{process.name}', a child process of multiprocessing, such as "
        f"a worker of a DataLoader or a pool. The call was refused, and nothing was written or "
        f"removed. Call it in the first process, below a guard:\n{guard}\n{remedy}"
    )


def refuse_unguarded(start_method: str) -> None:
    """Raise an error where the workers that are to be started would come to this very call again.

    Only a call that is certainly unguarded is refused: one at the top level of the script, in no
    ``if`` that looks at ``__name__``.

    Args:
        start_method: How the workers are started: ``fork``, ``spawn`` or ``forkserver``.

    Raises:
        ConfigError: This is such a call.
    """
    if start_method == "fork":
        return
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None) or ""
    file = getattr(main, "__file__", None)
    if file is None or name == "__main__" or name.endswith(".__main__"):
        return  # not imported again
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not (
        frame.f_code.co_name == "<module>"
        and frame.f_code.co_filename == file
        and frame.f_globals is vars(main)
    ):
        frame = frame.f_back
    if frame is None or _is_guarded(file, frame.f_lineno):
        return
    script = os.path.basename(file)
    line = linecache.getline(file, frame.f_lineno).strip()
    raise ConfigError(
        f"loader workers that are started by {start_method} import '{script}' again, and would "
        f"come to line {frame.f_lineno} again. Put it below a guard:\n\n"
        f'    if __name__ == "__main__":\n        {line}\n\nor use num_workers=0'
    )


def _is_guarded(file: str, line: int) -> bool:
    """Tell whether a line of a script stands in an ``if`` that looks at ``__name__``."""
    try:
        with open(file, encoding="utf-8") as source:
            tree: ast.AST = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return True  # not known
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or 0):
            names = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
            if "__name__" in names:
                return True
    return False

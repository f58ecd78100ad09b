"""Refuses entry functions in child processes of multiprocessing."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from types import FrameType

from lightly_core.errors import ConfigError

#: Set it to 1 to allow entry functions in a child process of multiprocessing.
ALLOW_VARIABLE = "LIGHTLY_ALLOW_CHILD"

_GUARD = """
    import lightly_core

    if __name__ == "__main__":
        lightly_core.{function}(...)
"""


def refuse_in_child(function: str) -> None:
    """Raise an error if this process is a child of multiprocessing.

    There are three kinds of children. One that imports the script again, as spawn and forkserver
    do, has reached an unguarded call by mistake. A daemonic one, such as a worker of a DataLoader,
    cannot start processes. Any other child may have been started for this call. It is refused too,
    because a forked one may hang in CUDA or OpenMP, and because the caller may not know that it is
    a child. The environment variable `ALLOW_VARIABLE` allows it.

    Args:
        function: Name of the entry function, such as ``pretrain``.

    Raises:
        ConfigError: This is such a child. Nothing has been written or removed.
    """
    # Children always import this module. Other processes are spared the time to import it.
    module = sys.modules.get("multiprocessing.process")
    if module is None:
        return
    process = module.current_process()
    guard = _GUARD.format(function=function)
    # CPython sets this from the start of a process until it has imported the script.
    if getattr(process, "_inheriting", False):
        script = os.path.basename(sys.argv[0]) if sys.argv else "the script"
        raise ConfigError(
            f"{function}() was called again in a new process, which imports '{script}' when it "
            f"starts. The call was refused, and nothing was written or removed. Put the call in "
            f"'{script}' below a guard, so that only the first process runs it:\n{guard}"
        )
    if module.parent_process() is None:
        return
    if not process.daemon and os.environ.get(ALLOW_VARIABLE) == "1":
        return
    remedy = (
        "a daemonic process cannot start loader workers"
        if process.daemon
        else "to run it in a process of its own, start that with subprocess, or with spawn and "
        f"{ALLOW_VARIABLE}=1 in its environment"
    )
    raise ConfigError(
        f"{function}() was called in '{process.name}', a child process of multiprocessing, such as "
        f"a worker of a DataLoader or a pool. The call was refused, and nothing was written or "
        f"removed. Call it in the first process, below a guard:\n{guard}\n{remedy}"
    )


def refuse_unguarded(start_method: str) -> None:
    """Raise an error if loader workers would run the current call again when they start.

    A call is refused only if it is certainly unguarded: at the top level of the script, and not in
    an ``if`` that reads ``__name__``.

    Args:
        start_method: How workers are started: ``fork``, ``spawn`` or ``forkserver``.

    Raises:
        ConfigError: The call is unguarded.
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
        f"run line {frame.f_lineno} again. Put it below a guard:\n\n"
        f'    if __name__ == "__main__":\n        {line}\n\nor use num_workers=0'
    )


def _is_guarded(file: str, line: int) -> bool:
    """Return whether a line of a script is in an ``if`` that reads ``__name__``."""
    try:
        with open(file, encoding="utf-8") as source:
            tree: ast.AST = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return True  # unknown, so the call is not refused
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or 0):
            names = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
            if "__name__" in names:
                return True
    return False

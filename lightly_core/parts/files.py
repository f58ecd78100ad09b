"""Writing of files that `torch.load` reads."""

from __future__ import annotations

from pathlib import Path

# Not `torch.save`, which ultralytics replaces by a function that writes again after an error.
from torch.serialization import save


def save_torch(content: object, path: Path) -> None:
    """Write what `torch.save` writes, and raise if the disk is full.

    torch gets an open file. With a path it writes the stem of the path into the file, which for a
    temporary name differs each time.

    Args:
        content: Tensors, plain data, or anything else that `torch.save` accepts.
        path: The file, which is overwritten if it exists.

    Raises:
        OSError: The file cannot be written; ``errno`` has the reason.
        RuntimeError: The same, if torch detected it first.
    """
    with open(path, "wb") as file:
        save(content, file)

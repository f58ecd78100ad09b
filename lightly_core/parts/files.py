"""Writing of files that `torch.load` reads."""

from __future__ import annotations

from pathlib import Path

# Not `torch.save`, which ultralytics replaces by a function that writes again after an error.
from torch.serialization import save


def save_torch(content: object, path: Path) -> None:
    """Write what `torch.save` writes, and notice where it finds no place.

    torch is given an open file. Given a path, torch 2.5 raises nothing where the disk has no room
    for a file's last kilobytes, and every version writes the path's stem into the file, which for a
    temporary name is another each time.

    Args:
        content: Tensors and plain data, or what else `torch.save` takes.
        path: What is there is overwritten.

    Raises:
        OSError: The file cannot be written; ``errno`` says why.
        RuntimeError: The same, where torch noticed it first.
    """
    with open(path, "wb") as file:
        save(content, file)

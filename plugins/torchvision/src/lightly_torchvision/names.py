"""The list of models in `models.txt`: ``python -m lightly_torchvision.names > models.txt``.

The file lets `lightly models` answer without importing torchvision.
"""

from __future__ import annotations

import torchvision  # type: ignore[import-untyped]


def classification_models() -> list[str]:
    """Return the names of the installed torchvision's classification models, sorted."""
    return list(torchvision.models.list_models(module=torchvision.models))


if __name__ == "__main__":
    print("\n".join(classification_models()))

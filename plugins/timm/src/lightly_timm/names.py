"""The list of models in `models.txt`: ``python -m lightly_timm.names > models.txt``.

The file lets `lightly models` answer without importing timm.
"""

from __future__ import annotations

import timm


def first_line() -> str:
    """Return the comment with the version of timm that the list was written with."""
    return f"# timm {timm.__version__}"


def model_names() -> list[str]:
    """Return the installed timm's architectures, and these with the tags of their weights."""
    return sorted({*timm.list_models(), *timm.list_models(pretrained=True)})


if __name__ == "__main__":
    print("\n".join([first_line(), *model_names()]))

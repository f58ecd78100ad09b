"""Makes HTML of the staged pages with Sphinx."""

from __future__ import annotations

from pathlib import Path

from sphinx.cmd.build import build_main

_CONFIGURATION = Path(__file__).parent


def build(source: Path, target: Path) -> int:
    """Build the site. A warning is an error.

    Args:
        source: Folder of the staged pages.
        target: Folder for the HTML. What has not changed since an earlier build is kept.

    Returns:
        0, or another number if there was a warning or an error, which has been printed.
    """
    options = ("--fail-on-warning", "--keep-going", "--quiet", "--builder", "html")
    cache = target.with_name(f"{target.name}-cache")
    places = (str(source), str(target))
    words = [*options, "--conf-dir", str(_CONFIGURATION), "--doctree-dir", str(cache), *places]
    return build_main(words)

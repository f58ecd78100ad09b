"""Configuration of Sphinx. `stage.py` writes the pages that it reads."""

import os

from sphinx.application import Sphinx

from lightly_core.version import __version__
from tools.site.breaks import break_names

project = "lightly-core"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["files/**"]
# In docstrings, a single backtick is for a name. Names of the interface become links.
default_role = "py:obj"

# Anchors of headings are those of GitHub, so that links work in both places.
myst_heading_anchors = 6
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = "lightly-core"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/mark.svg"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "light_logo": "mark.svg",
    "dark_logo": "mark.svg",
    "light_css_variables": {
        "color-brand-primary": "#0a6169",
        "color-brand-content": "#0a6169",
        "color-brand-visited": "#5a4a8a",
        "color-sidebar-link-text--top-level": "var(--color-foreground-primary)",
        "color-api-name": "var(--color-brand-content)",
        "color-api-pre-name": "var(--color-foreground-secondary)",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5fd0c5",
        "color-brand-content": "#5fd0c5",
        "color-brand-visited": "#b8a6ea",
        "color-sidebar-link-text--top-level": "var(--color-foreground-primary)",
        "color-api-name": "var(--color-brand-content)",
        "color-api-pre-name": "var(--color-foreground-secondary)",
    },
}
# Where the sources are, if the site is built for a public repository such as owner/name.
if repository := os.environ.get("GITHUB_REPOSITORY"):
    html_theme_options["source_repository"] = f"https://github.com/{repository}/"
    html_theme_options["source_branch"] = "main"


def setup(app: Sphinx) -> None:
    """Add what changes the HTML."""
    app.connect("html-page-context", break_names)

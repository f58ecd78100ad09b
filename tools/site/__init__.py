"""Builds the documentation site from the pages of the repository, and checks it.

`docs/README.md` lists the pages by section. `stage.py` copies them to a folder of sources, with
links that work there, and adds a page for each method and for each module of the interface.
Sphinx makes HTML of them, with `conf.py`. Nothing is written into the repository.
"""

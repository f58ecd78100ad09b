"""The syntax of source files, read once for all tests that look at it."""

import ast
import functools


@functools.cache
def tree_of(file):
    return ast.parse(file.read_text("utf-8"))


@functools.cache
def nodes_of(file):
    """All nodes of a file, as `ast.walk` gives them."""
    return tuple(ast.walk(tree_of(file)))

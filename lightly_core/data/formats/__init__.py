"""Formats of image files: telling them by their content, and those that Pillow cannot read."""

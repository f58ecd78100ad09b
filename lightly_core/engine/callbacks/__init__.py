"""Callbacks of training, one subject per file."""

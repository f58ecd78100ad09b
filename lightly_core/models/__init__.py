"""Backbones: build wrappers that methods use, from names or modules."""

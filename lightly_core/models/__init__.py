"""Backbones: from a name or a module to a wrapper that methods can use."""

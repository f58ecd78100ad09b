"""ACME's networks, and a plugin for lightly-core."""

"""Plugins: discovery, the catalog of what they provide, and imports on first use."""

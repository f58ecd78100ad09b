"""Reads settings from Python arguments, `key=value` pairs and TOML files, and checks them."""

"""CAPI."""

"""PMSN."""

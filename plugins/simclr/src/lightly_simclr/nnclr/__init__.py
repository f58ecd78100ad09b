"""NNCLR."""

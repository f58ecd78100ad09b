"""Pretraining methods for lightly-core, a folder each."""

"""Distillation for lightly-core."""

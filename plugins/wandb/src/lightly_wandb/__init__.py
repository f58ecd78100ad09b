"""Weights & Biases as a logger of lightly-core."""

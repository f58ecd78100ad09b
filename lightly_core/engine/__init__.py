"""Runs a method: trainer, run folder, checkpoints, resume, loggers. Methods know nothing of it."""

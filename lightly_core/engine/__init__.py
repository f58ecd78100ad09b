"""The engine of a run: trainer, run folder, checkpoints, resume, loggers."""

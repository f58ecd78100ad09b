"""The loggers of the core, and the fan-out of metrics to all loggers."""

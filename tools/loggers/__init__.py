"""Remote loggers with real servers that are killed, restarted, hang and fail."""

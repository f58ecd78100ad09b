"""The loggers that come with the core, and what hands metrics to all of them."""

"""What several methods are built on, above `lightly_core.contracts.Method`."""

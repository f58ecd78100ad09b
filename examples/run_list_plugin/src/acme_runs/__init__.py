"""A list of all runs."""

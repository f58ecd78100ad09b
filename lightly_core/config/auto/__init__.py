"""Replaces every "auto" by a value, from the machine, the data and the method."""

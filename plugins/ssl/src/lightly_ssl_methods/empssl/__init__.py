"""EMP-SSL."""

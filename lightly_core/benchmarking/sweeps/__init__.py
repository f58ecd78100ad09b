"""Sweeps: a row of a suite whose settings are searched, one run for each trial."""

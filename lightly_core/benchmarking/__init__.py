"""Suites of runs that are trained, evaluated and compared in one table."""

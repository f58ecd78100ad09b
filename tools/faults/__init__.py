"""Tries faults on whole runs: kills, full disks, damaged files, small limits, long runs.

``python -m tools.faults`` prints a table of what was tried, how often, and what came of it.
"""

"""Tests whole runs under faults: kills, full disks, damaged files, low limits, long runs.

``python -m tools.faults`` prints a table of the faults, the number of tries and the results.
"""

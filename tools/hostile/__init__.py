"""Tests the commands with odd, broken and hostile files of all kinds.

``python -m tools.hostile`` creates more than a thousand files from a fixed seed, reads each of them
separately, and runs ``lightly run``, ``embed`` and ``evaluate`` on all of them together. Every file
must be read as an independent decoder reads it, or be listed with a reason. No file may stop a
command, make it hang or fill the memory.
"""

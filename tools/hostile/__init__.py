"""Odd, broken and hostile files of all kinds, and whether the commands survive them.

``python -m tools.hostile`` makes more than a thousand files from a fixed seed, reads each of them
alone, and runs ``lightly run``, ``embed`` and ``evaluate`` on all of them together. Every file has
to be read as an independent decoding says, or be listed with a reason; nothing may stop, hang or
fill the memory.
"""

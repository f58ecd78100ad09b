"""Measures what one more image, weight or feature costs, and writes docs/scale.md.

    python -m tools.slopes --write

Each part of a run is measured at some sizes that fit this machine, each in a process of its own. A
straight line through the values gives the cost of one more. `page` multiplies it by the sizes that
do not fit. A part is an entry of `PARTS` in `parts.py`.
"""

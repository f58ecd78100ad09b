"""Comparisons with Lightly SSL, and with plain forms where it has no counterpart.

``python -m parity`` measures all of them and writes `docs/parity.md`; ``--check`` fails where a
comparison is worse than its tolerance or the page is out of date. ``nox -s parity`` installs what
this needs.
"""

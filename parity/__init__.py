"""Comparisons with Lightly SSL, and with plain forms where it has no counterpart.

``python -m parity`` measures all of them and writes `docs/parity.md`. With ``--check`` it fails if
a difference exceeds its tolerance or the page is out of date. ``nox -s parity`` installs the
requirements.
"""

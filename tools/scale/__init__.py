"""Checks with many processes and large inputs, which take too long for tests.

Each module has one subject and a tuple ``CHECKS``. ``nox -s scale`` runs them all::

    CHECKS = (Check("a sum of two processes", two_processes),)
"""

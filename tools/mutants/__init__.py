"""Mutation testing on a fixed random sample of places in the code.

A mutant is the code with one small change. It is caught if a test fails. The fraction of caught
mutants measures the quality of the tests, for each room. Run it with ``nox -s mutants``.

===============  =============================================================================
`places`         finds places where the code can be changed and takes a sample
`coverage_map`   runs the tests once and stores which of them execute which lines
`trial`          runs the tests that cover a mutant
`report`         formats the results as tables
===============  =============================================================================
"""

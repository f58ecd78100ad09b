"""Mutation testing on a fixed random sample of places.

A mutant is the product with one small change. It is caught if a test fails. The fraction of caught
mutants says what the tests are worth, room by room. Run it by ``nox -s mutants``.

===============  =============================================================================
`places`         finds places where the code can be changed and takes a sample
`coverage_map`   runs the tests once and stores which of them execute which lines
`trial`          runs the tests that cover a mutant
`report`         the tables
===============  =============================================================================
"""

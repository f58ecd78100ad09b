"""Maps and neighbours, against other forms of the same numbers."""

import numpy as np
import pytest

from lightly_core.reporting import projection
from lightly_core.reporting.projection import nearest, principal_components, same_class


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (3, 2)])
def test_principal_components_equal_those_of_an_svd(shape):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found, fractions = principal_components(rows, 2)
    left, values, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * values[:2]
    for axis in range(2):  # the sign of an axis is free
        sign = np.sign(expected[np.abs(expected[:, axis]).argmax(), axis])
        np.testing.assert_allclose(found[:, axis], sign * expected[:, axis], atol=1e-4)
    np.testing.assert_allclose(fractions, (values**2 / (values**2).sum())[:2], rtol=1e-4)


def test_equal_rows_and_missing_axes_are_zeros():
    coordinates, fractions = principal_components(np.ones((4, 1), np.float32), 3)
    assert (coordinates == 0).all()
    assert (fractions == 0).all()


@pytest.mark.parametrize("at_once", [2**24, 9])
def test_neighbours_are_the_most_similar_others(at_once, monkeypatch):
    monkeypatch.setattr(projection, "_COSINES_AT_ONCE", at_once)
    angles = np.deg2rad([0, 10, 30, 90])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert nearest(rows, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert nearest(rows, 9).shape == (4, 3)


def test_fraction_of_neighbours_of_the_same_class():
    neighbours = np.array([[1, 2], [0, 2], [1, 0], [2, 1]])
    # Image 0: one of two; image 1: one of two; image 2: none; image 3 has no class.
    assert same_class(neighbours, np.array([0, 0, 1, -1])) == pytest.approx(2 / 6)
    assert same_class(neighbours, np.full(4, -1)) is None

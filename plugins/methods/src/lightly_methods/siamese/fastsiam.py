"""FastSiam as a method of lightly-core."""

from __future__ import annotations

from lightly_methods.siamese.simsiam import SimSiam


class FastSiam(SimSiam):
    """SimSiam with several views: each predicts the mean of all others.

    The mean of three targets is steadier than one, so batches of 32 images and few epochs are
    enough. Memory and time grow with the number of views; with two it is SimSiam.
    https://doi.org/10.1007/978-3-031-16788-1_4
    """

"""FastSiam: SimSiam with several views (Pototzky et al. 2022, doi:10.1007/978-3-031-16788-1_4)."""

from __future__ import annotations

from lightly_methods.siamese.simsiam import SimSiam


class FastSiam(SimSiam):
    """Predict from each view the mean projection of all other views.

    The mean of three targets varies less than one target. Therefore batches of 32 images and few
    epochs are enough. Memory and time grow with the number of views. With two views it is SimSiam.
    https://doi.org/10.1007/978-3-031-16788-1_4
    """

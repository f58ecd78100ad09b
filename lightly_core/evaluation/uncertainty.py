"""How exactly an accuracy is known, as numbers and as texts. No torch here.

The standard error is that of Agresti and Caffo 2000, https://doi.org/10.1080/00031305.2000.10474560:
one correct and one wrong answer are added to each sample, so it is never 0. It does not contain the
differences between seeds.
"""

from __future__ import annotations

import math

#: Standard errors by which two accuracies must differ.
STANDARD_ERRORS = 2.0
#: Difference that enough images show. If it is within the limit of the error, there are too few.
LEAST_CHANGE = 0.02


def standard_error(accuracy: float, num_images: int) -> float:
    """Return the standard error of an accuracy.

    Args:
        accuracy: Fraction of correct answers, in [0, 1].
        num_images: Images that were classified, at least 1.

    Returns:
        A number in (0, 0.3).
    """
    smoothed = (accuracy * num_images + 1) / (num_images + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (num_images + 2))


def error_of_difference(before: float, after: float, num_images: int) -> float:
    """Return the standard error of the difference of two accuracies.

    It treats them as independent. They are of the same images, so it is rather too large than too
    small.

    Args:
        before: Fraction of correct answers, in [0, 1].
        after: The same of the other network.
        num_images: Images that each network classified, at least 1.

    Returns:
        A number in (0, 0.5).
    """
    return math.hypot(standard_error(before, num_images), standard_error(after, num_images))


def difference_text(before: float, after: float, num_images: int | None) -> str:
    """Return accuracies in [0, 1] before and after training, and their difference, as text.

    Args:
        before: Fraction of correct answers, in [0, 1].
        after: The same of the other network.
        num_images: Images that each network classified; None: not known.
    """
    gain = f"{100 * (after - before):+.1f} points"
    if num_images:
        error = 100 * error_of_difference(before, after, num_images)
        gain += f", standard error {error:.1f}; {num_images:,} images classified"
    return f"{100 * before:.1f} % before, {100 * after:.1f} % after ({gain})"


def known_error(accuracy: float | None, num_images: int | None) -> float | None:
    """Return the standard error of an accuracy; None if one of the two is not known."""
    if accuracy is None or not num_images:
        return None
    return standard_error(accuracy, num_images)


def percent(accuracy: float | None, error: float | None, digits: int = 1) -> str:
    """Return an accuracy with its standard error, such as ``81.3 ± 2.1 %``.

    Args:
        accuracy: Fraction of correct answers, in [0, 1]; None: the text is empty.
        error: Its standard error; None: not known.
        digits: Digits after the point.
    """
    return "" if accuracy is None else f"{points(accuracy, error, digits)} %"


def points(accuracy: float, error: float | None, digits: int = 1) -> str:
    """Return the text of `percent` without the unit."""
    text = f"{100 * accuracy:.{digits}f}"
    return text if error is None else f"{text} ± {100 * error:.{digits}f}"


def too_few_images(accuracy: float, num_images: int | None) -> str:
    """Return a sentence if so few images were classified that a small difference cannot be seen.

    Args:
        accuracy: Fraction of correct answers, in [0, 1].
        num_images: Images that were classified; None: not known, no sentence.
    """
    if not num_images:
        return ""
    limit = STANDARD_ERRORS * error_of_difference(accuracy, accuracy, num_images)
    if limit <= LEAST_CHANGE:
        return ""
    return (
        f"{num_images:,} classified images are too few to tell differences below "
        f"{100 * limit:.1f} points, two standard errors of a difference."
    )

"""How long a run takes, from the time of its first steps. No torch here."""

from __future__ import annotations

from attrs import frozen

#: Seconds of a run from which a shorter one is suggested if "auto" chose its length.
LONG = 4 * 3600
#: Seconds that a suggested run takes at most, unless one epoch takes longer.
FIRST_TRY = 2 * 3600


@frozen(kw_only=True)
class Pace:
    """The measured speed of a run.

    Attributes:
        seconds: Seconds of an optimizer step, with all that happens between steps.
        images: Images of a step, over all processes.
        steps_per_epoch: Optimizer steps of an epoch.
    """

    seconds: float
    images: int
    steps_per_epoch: int

    def text(self, steps: int, *, resumed: bool = False) -> str:
        """Return how long some steps take.

        Args:
            steps: Optimizer steps of the run. Of a resumed run, those that are left.
            resumed: Whether it is a resumed run.
        """
        rate = self.images / self.seconds
        return (
            f"{steps:,} {'more ' if resumed else ''}steps: {about(steps * self.seconds)} on this "
            f"machine ({rate:,.{0 if rate >= 10 else 1}f} images/s)"
        )

    def first_try(self) -> str:
        """Return a number of epochs for a first try, and how long they take."""
        epoch = self.seconds * self.steps_per_epoch
        epochs = max(1, _one_digit(int(FIRST_TRY / epoch)))
        return f"`epochs={epochs}` is a good first try, {about(epochs * epoch)}"


def about(seconds: float) -> str:
    """Return a time in its unit with two digits, such as ``about 2.5 hours``."""
    for length, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 1.5 * length:
            number = f"{seconds / length:.{0 if seconds >= 10 * length else 1}f}"
            return f"about {number.removesuffix('.0')} {unit}s"
    return f"about {seconds:.0f} seconds"


def _one_digit(number: int) -> int:
    """Round a number down to its first digit, such as 237 to 200."""
    unit = int(10 ** (len(str(number)) - 1))
    return number // unit * unit

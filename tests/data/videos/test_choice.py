"""Which frames are chosen, against the rule written out."""

import pytest

from lightly_core.config.options.videos import FrameArgs
from lightly_core.data.videos.choice import FrameChoice
from lightly_core.data.videos.places import problems


def chosen(times, **options):
    choice = FrameChoice(FrameArgs(**options))
    return [time for time in times if choice.takes(time)]


@pytest.mark.parametrize("rate", [24, 25, 30000 / 1001, 60])
@pytest.mark.parametrize("fps", [0.5, 1, 5])
def test_a_constant_rate_gives_the_first_frame_of_each_interval(rate, fps):
    times = [number / rate for number in range(300)]
    first = {}
    for number in range(300):
        # The interval by whole numbers: frame / rate * fps, with the rate as a fraction of 1001.
        interval = int(number * 1001 * 2 * fps + 1e-9) // round(rate * 1001 * 2)
        first.setdefault(interval, number / rate)
    assert chosen(times, fps=fps) == list(first.values())


def test_a_limit_counts_frames_that_are_used():
    choice = FrameChoice(FrameArgs(every_n_frames=1, max_frames=2))
    assert choice.takes(0.0)
    choice.give_back()
    assert [choice.takes(time) for time in (0.1, 0.2, 0.3)] == [True, True, False]
    assert choice.done


@pytest.mark.parametrize("place", ["", "  ", "a\0.mp4"])
def test_what_can_be_no_path_is_refused(place):
    (problem,) = problems([place], FrameArgs())
    assert problem.startswith("got '")

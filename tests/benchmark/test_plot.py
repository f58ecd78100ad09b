import itertools
import random

import numpy as np
import pytest

from lightly_core.benchmarking import plot
from lightly_core.benchmarking.plot import Line, draw, separate, write_plot


def test_labels_that_have_room_stay_where_they_are():
    assert separate([10.0, 50.0, 30.0], gap=5, low=0, high=100) == [10.0, 50.0, 30.0]


def test_labels_that_are_too_near_stand_around_their_mean():
    assert separate([50.0, 50.0, 50.0], gap=4, low=0, high=100) == pytest.approx([46, 50, 54])
    assert separate([99.0, 100.0], gap=4, low=0, high=100) == pytest.approx([96, 100])
    assert separate([0.0, 1.0], gap=4, low=0, high=100) == pytest.approx([0, 4])


def test_labels_never_overlap_stay_inside_and_keep_their_order():
    for seed in range(20):
        rng = random.Random(seed)
        wanted = [rng.uniform(40, 60) for _ in range(20)]
        places = separate(wanted, gap=3, low=0, high=100)
        order = sorted(range(20), key=lambda i: wanted[i])
        sorted_places = [places[i] for i in order]
        assert all(b - a >= 3 - 1e-9 for a, b in itertools.pairwise(sorted_places)), seed
        assert min(places) >= -1e-9, seed
        assert max(places) <= 100 + 1e-9, seed


def lines(count):
    points = [((0, 0.3), (1, 0.4 + 0.01 * i), (2, 0.5 + 0.01 * i)) for i in range(count)]
    return [Line(f"row{i}", "timm/net", points[i]) for i in range(count)]


def test_twenty_lines_can_be_told_apart_and_all_labels_are_inside_the_picture():
    figure = draw(lines(20), "suite")
    styles = {plot._style(i) for i in range(20)}
    assert len(styles) == 20
    figure.canvas.draw()
    box = figure.bbox
    texts = [text for text in figure.axes[0].texts if text.get_text().startswith("row")]
    extents = [text.get_window_extent() for text in texts]
    assert len(texts) == 20
    assert all(box.x0 <= e.x0 and e.x1 <= box.x1 and e.y1 <= box.y1 for e in extents)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(extents, 2))


def test_the_axes_are_named_and_the_untrained_network_is_marked():
    axes = draw(lines(2), "suite").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "kNN top-1 (%)")
    assert "untrained" in [text.get_text() for text in axes.texts]
    assert "row1  51.0" in [text.get_text() for text in axes.texts]


def test_lines_are_drawn_in_percent_and_untrained_networks_at_their_mean():
    rows = [
        Line("a", "timm/net", ((0, 0.2), (2, 0.5))),
        Line("b", "timm/net", ((0, 0.4), (4, 0.6))),
        Line("c", "timm/other", ((0, 0.1), (4, 0.3))),
    ]
    axes = draw(rows, "suite").axes[0]
    drawn = [line.get_xydata().tolist() for line in axes.lines]
    for expected in ([[0, 20], [2, 50]], [[0, 40], [4, 60]], [[0, 10], [4, 30]]):
        assert any(np.allclose(points, expected) for points in drawn if len(points) == 2)
    levels = [text.xy for text in axes.texts if text.get_text().startswith("untrained")]
    assert np.allclose(levels, [(4, 30), (4, 10)])
    assert {"untrained timm/net", "untrained timm/other"} <= {t.get_text() for t in axes.texts}
    dotted = [line for line in axes.lines if line.get_color() == plot._GREY]
    assert np.allclose([line.get_ydata()[0] for line in dotted], [30, 10])
    low, high = axes.get_ylim()
    # 6 % of what is between the smallest and the largest value on each side.
    assert (low, high) == pytest.approx((10 - 3, 60 + 3))


@pytest.mark.slow
def test_the_same_numbers_make_the_same_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_plot(lines(3), "suite", tmp_path / name)
    for file in ("accuracy.png", "accuracy.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_without_a_point_nothing_is_written(tmp_path):
    write_plot([Line("row", "timm/net", ())], "suite", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert draw([Line("row", "timm/net", ((0, 0.3),))], "suite").axes  # one point is enough

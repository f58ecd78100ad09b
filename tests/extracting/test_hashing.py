import numpy as np
from PIL import Image

from lightly_core.extracting.hashing import SeenFrames, difference_hash


def test_the_hash_equals_a_plain_loop():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 255, (8, 9)).astype(np.uint8)
    image = Image.fromarray(np.kron(cells, np.ones((4, 4), np.uint8)))
    bits = [cells[row, column + 1] > cells[row, column] for row in range(8) for column in range(8)]
    rows = [bits[8 * row : 8 * row + 8] for row in range(8)]
    expected = [sum(bit << (7 - place) for place, bit in enumerate(row)) for row in rows]
    assert difference_hash(image).tolist() == expected


def test_a_frame_is_compared_with_all_that_were_kept():
    rng = np.random.default_rng(1)
    images = [Image.fromarray(rng.integers(0, 255, (16, 18)).astype(np.uint8)) for _ in range(40)]
    seen = SeenFrames(min_difference=4)
    assert all(seen.is_new(image) for image in images)
    assert not any(seen.is_new(image) for image in images)

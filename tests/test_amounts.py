import pytest

from lightly_core.amounts import bytes_text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1_000, "1.0 kB"), (2_500, "2.5 kB")),
        *((10**6, "1.0 MB"), (999 * 10**6, "999.0 MB"), (10**9, "1.0 GB"), (10**12, "1.0 TB")),
    ],
)
def test_bytes_are_shown_in_the_largest_unit_that_they_fill(number, text):
    assert bytes_text(number) == text

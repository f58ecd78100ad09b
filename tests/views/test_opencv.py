"""Bytes in OpenCV compared with the same changes on floats in torch."""

import numpy as np
import pytest
import torch

from lightly_core.data.views import device, opencv
from lightly_core.data.views.parameters import Slot, neutral

pytest.importorskip("cv2", reason="OpenCV is an extra")

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SIZE = (65, 80)


@pytest.fixture
def images():
    """Noise, smooth colours, colours with equal channels and extremes, and grey: (8, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 3, *SIZE, generator=generator)
    coarse = torch.rand(2, 3, 3, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 1)
    flat = (noise * 3).round() / 3
    grey = noise[:, :1].expand(-1, 3, -1, -1)
    pixels = (torch.cat([noise, smooth, flat, grey]) * 255).round().byte()
    return pixels.to(memory_format=torch.channels_last)


def vectors(number, **slots):
    """Parameters (number, P): neutral but for the named slots."""
    rows = torch.from_numpy(neutral()).repeat(number, 1)
    for name, values in slots.items():
        rows[:, Slot[name.upper()]] = torch.as_tensor(values, dtype=torch.float32)
    return rows


def both(images, parameters):
    """The results of OpenCV and of torch in levels of 1/255, without normalisation."""
    assert opencv.suits(images)
    in_floats = images.float() / 255
    assert not opencv.suits(in_floats)
    none = ([0.0] * 3, [1.0] * 3)
    fast = device.photometric(images, parameters, *none)
    return 255 * fast, 255 * device.photometric(in_floats, parameters, *none)


@pytest.mark.parametrize(
    ("slots", "most", "on_average"),
    [
        ({"jitter_on": 1, "brightness": torch.linspace(0, 2, 8)}, 0.51, 0.3),
        ({"jitter_on": 1, "contrast": torch.linspace(0, 2, 8)}, 0.51, 0.3),
        ({"jitter_on": 1, "saturation": torch.linspace(0, 2, 8)}, 1.0, 0.3),
        ({"jitter_on": 1, "hue": torch.linspace(-0.5, 0.5, 8)}, 0.51, 0.3),
        ({"gray_on": 1}, 1.0, 0.3),
        ({"blur_on": 1, "blur_sigma": torch.linspace(0.2, 3, 8)}, 1e-3, 1e-4),
        ({"blur_on": 1, "blur_sigma": torch.linspace(0.2, 3, 8), "blur_size": 7}, 1e-3, 1e-4),
        ({"solarize_on": 1, "solarize_threshold": torch.linspace(0, 1, 8)}, 1e-4, 1e-4),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_each_change_differs_from_floats_by_its_rounding(images, slots, most, on_average):
    fast, plain = both(images, vectors(len(images), **slots))
    difference = (fast - plain).abs()
    assert difference.max() <= most
    assert difference.mean() <= on_average
    assert not torch.equal(plain, images.float())


def test_all_changes_together_in_orders_of_their_own(images):
    generator = torch.Generator().manual_seed(1)
    number = len(images)
    parameters = vectors(
        number,
        jitter_on=torch.arange(number) % 3 > 0,
        brightness=torch.rand(number, generator=generator) + 0.5,
        contrast=torch.rand(number, generator=generator) + 0.5,
        saturation=torch.rand(number, generator=generator) + 0.5,
        hue=torch.rand(number, generator=generator) - 0.5,
        gray_on=torch.arange(number) % 4 == 0,
        blur_on=torch.arange(number) % 2,
        blur_sigma=torch.rand(number, generator=generator) * 2,
    )
    for row in parameters:
        row[Slot.ORDER : Slot.ORDER + 4] = torch.randperm(4, generator=generator)
    fast, plain = both(images, parameters)
    difference = (fast - plain).abs()
    # An order or a factor of another image would give differences of tens of levels.
    assert difference.mean(dim=(1, 2, 3)).max() <= 2.5


def test_without_a_change_the_numbers_are_equal(images):
    parameters = vectors(len(images))
    result = device.photometric(images, parameters, MEAN, STD)
    other_layout = images.contiguous()
    assert not opencv.suits(other_layout)
    expected = device.photometric(other_layout, parameters, MEAN, STD)
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_several_threads_give_the_same_numbers(images):
    cv2 = pytest.importorskip("cv2")
    parameters = vectors(len(images), jitter_on=1, hue=torch.linspace(0, 0.3, 8), blur_on=1)
    parameters[:, Slot.BLUR_SIGMA] = torch.linspace(0.5, 3, 8)
    before = torch.get_num_threads(), cv2.getNumThreads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(device.photometric(images, parameters, MEAN, STD))
    finally:
        torch.set_num_threads(before[0])
    assert torch.equal(*results)
    assert cv2.getNumThreads() == before[1]


def test_pixels_are_not_overwritten(images):
    before = images.clone()
    device.photometric(images, vectors(len(images), jitter_on=1, hue=0.1, gray_on=1), MEAN, STD)
    assert torch.equal(images, before)


def test_channels_kept_of_many_have_their_own_statistics(images):
    kept = torch.tensor([[0.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    parameters = torch.cat([vectors(2), kept], dim=1)
    result = device.photometric(images[:2], parameters, [0.1, 0.2, 0.3, 0.4], [0.5] * 4)
    for row, mean in enumerate(([0.1, 0.3, 0.4], [0.2, 0.3, 0.4])):
        expected = (images[row] / 255 - torch.tensor(mean).view(3, 1, 1)) / 0.5
        torch.testing.assert_close(result[row], expected)


def test_a_blur_wider_than_the_image_is_cut_to_what_reflection_allows():
    pixels = torch.zeros(1, 3, 3, 2000, dtype=torch.uint8)
    pixels[:, :, 1] = 255
    fast, plain = both(
        pixels.to(memory_format=torch.channels_last), vectors(1, blur_on=1, blur_sigma=4.0)
    )
    assert (fast - plain).abs().max() <= 1


def test_other_pixels_are_left_to_torch(images):
    found = [
        images[:, :, :40, :40],  # small
        images[:, :1],
        images.contiguous(),
        images.float(),
        torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device="meta").to(
            memory_format=torch.channels_last
        ),
    ]
    assert [opencv.suits(image) for image in found] == [False] * 5


def test_without_opencv_everything_is_left_to_torch(images, monkeypatch):
    monkeypatch.setattr(opencv, "_cv2", lambda: None)
    parameters = vectors(len(images), jitter_on=1, hue=0.2)
    result = device.photometric(images, parameters, MEAN, STD)
    expected = device.photometric(images.float() / 255, parameters, MEAN, STD)
    torch.testing.assert_close(result, expected)


def test_the_choice_is_logged_once(images, caplog):
    opencv._cv2.cache_clear()
    with caplog.at_level("INFO"):
        for _ in range(2):
            opencv.suits(images)
    assert caplog.text.count("computed by OpenCV") == 1


def test_hue_of_a_full_turn_in_three_steps_comes_back():
    pixels = np.full((1, 3, 64, 64), 26, np.uint8)
    pixels[0, 0], pixels[0, 1] = 230, 128
    images = torch.from_numpy(pixels).to(memory_format=torch.channels_last)
    for _ in range(3):
        fast, _ = both(images, vectors(1, jitter_on=1, hue=1 / 3))
        images = fast.round().byte()
    assert (images.int() - torch.from_numpy(pixels).int()).abs().max() <= 6

import math
from functools import partial

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from lightly_core.data.views import device
from lightly_core.data.views.changes import kernel_radii
from lightly_core.data.views.parameters import NEUTRAL_FACTORS, Slot, ViewParameters, neutral

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def images():
    """Noise, flat colours with equal channels and extremes, and grey."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 3, 20, 17, generator=generator)
    flat = (noise * 3).round() / 3
    gray = noise[:, :1].expand(-1, 3, -1, -1)
    return torch.cat([noise, flat, gray])


def vectors(number, **slots):
    """Parameters (number, P): neutral but for the named slots."""
    rows = torch.from_numpy(neutral()).repeat(number, 1)
    for name, values in slots.items():
        rows[:, Slot[name.upper()]] = torch.as_tensor(values, dtype=torch.float32)
    return rows


def unnormalised(pixels, parameters):
    channels = pixels.shape[1]
    return device.photometric(pixels, parameters, [0.0] * channels, [1.0] * channels)


@pytest.mark.parametrize(
    ("ours", "theirs", "values", "tolerance"),
    [
        (device.adjust_brightness, reference.adjust_brightness, (0.0, 2.0), 1e-5),
        (device.adjust_contrast, reference.adjust_contrast, (0.0, 2.0), 1e-5),
        (device.adjust_saturation, reference.adjust_saturation, (0.0, 2.0), 1e-5),
        (device.adjust_hue, reference.adjust_hue, (-0.5, 0.5), 1e-5),
        (device.solarize, reference.solarize, (0.0, 1.0), 0.0),
    ],
)
def test_each_change_equals_torchvision_image_by_image(images, ours, theirs, values, tolerance):
    factors = torch.linspace(*values, len(images))
    changed = ours(images, factors)
    for image, factor, result in zip(images, factors.tolist(), changed, strict=True):
        torch.testing.assert_close(result, theirs(image, factor), rtol=0, atol=tolerance)


def test_grayscale_equals_torchvision(images):
    expected = reference.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(device.grayscale(images), expected, rtol=0, atol=1e-6)


def test_solarize_inverts_the_threshold_itself():
    image = torch.tensor([0.49, 0.5, 0.51]).view(1, 1, 1, 3)
    expected = torch.tensor([0.49, 0.5, 0.49]).view(1, 1, 1, 3)
    torch.testing.assert_close(device.solarize(image, torch.tensor([0.5])), expected)


@pytest.mark.parametrize("kernel_size", [3, 7, 13])
def test_blur_equals_torchvision(images, kernel_size):
    sigmas = torch.linspace(0.2, 3.0, len(images))
    blurred = device.gaussian_blur(images, sigmas, kernel_size // 2)
    for image, sigma, result in zip(images, sigmas.tolist(), blurred, strict=True):
        expected = reference.gaussian_blur(image, [kernel_size] * 2, [sigma] * 2)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_blur_kernel_is_cut_to_what_reflection_allows():
    image = torch.rand(1, 3, 1, 4, generator=torch.Generator().manual_seed(1))
    blurred = device.gaussian_blur(image, torch.tensor([2.0]), 6)
    weights = torch.exp(-0.5 * (torch.arange(-3, 4) / 2.0) ** 2)
    mirrored = image[..., [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]]  # columns -3 to 6
    expected = sum(
        weight * mirrored[..., shift : shift + 4] for shift, weight in enumerate(weights)
    )
    torch.testing.assert_close(blurred, expected / weights.sum())


@pytest.mark.parametrize("radius", [4, 5, 9])
def test_a_radius_is_limited_to_the_side_minus_one(radius):
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([2.0])
    found, limited = (device.gaussian_blur(image, sigma, each) for each in (radius, 3))
    torch.testing.assert_close(found, limited, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("sigma", "kernel_size", "radius"), [(0.1, 0, 1), (1.0, 0, 3), (1.01, 0, 4), (2.0, 5, 2)]
)
def test_kernel_radius_is_given_or_three_sigmas(sigma, kernel_size, radius):
    sigmas, sizes = np.array([sigma], np.float32), np.array([kernel_size])
    assert kernel_radii(sigmas, sizes).tolist() == [radius]


def steps_of_one(row):
    """The changes of one image one after the other, from its vector: (name, value, radius)."""
    steps = []
    if row[Slot.JITTER_ON]:
        for change in row[Slot.ORDER : Slot.ORDER + 4].astype(int):
            factor = row[Slot.BRIGHTNESS + change]
            if factor != NEUTRAL_FACTORS[change]:
                name = ("brightness", "contrast", "saturation", "hue")[change]
                steps.append((f"adjust_{name}", factor, None))
    if row[Slot.GRAY_ON]:
        steps.append(("grayscale", 1, None))
    if row[Slot.BLUR_ON] and row[Slot.BLUR_SIGMA] >= 0.15:
        size = int(row[Slot.BLUR_SIZE])
        radius = (size - 1) // 2 if size else math.ceil(3 * float(row[Slot.BLUR_SIGMA]))
        steps.append(("gaussian_blur", row[Slot.BLUR_SIGMA], radius))
    if row[Slot.SOLARIZE_ON]:
        steps.append(("solarize", row[Slot.SOLARIZE_THRESHOLD], None))
    return steps


@pytest.mark.parametrize("chunk_size", [1, 5, 64, 1000])
def test_a_plan_does_what_each_image_wants_in_its_order(chunk_size):
    rng = np.random.default_rng(0)
    rows = np.tile(neutral(), (64, 1))
    for slot in (Slot.JITTER_ON, Slot.GRAY_ON, Slot.BLUR_ON, Slot.SOLARIZE_ON):
        rows[:, slot] = rng.random(64) < 0.6
    for row in rows:
        row[Slot.ORDER : Slot.ORDER + 4] = rng.permutation(4)
        row[Slot.BRIGHTNESS : Slot.BRIGHTNESS + 4] = rng.choice([0.0, 0.5, 1.0], 4)
    rows[:, Slot.BLUR_SIGMA] = rng.uniform(0.1, 2, 64)
    rows[:, Slot.BLUR_SIZE] = rng.choice([0, 3, 7], 64)
    rows[:, Slot.SOLARIZE_THRESHOLD] = rng.random(64)

    found = [[] for _ in rows]
    plans = device.plan(ViewParameters(torch.from_numpy(rows)), chunk_size)
    for number, steps in enumerate(plans):
        for change, indices, values in steps:
            assert list(indices) == sorted(indices)
            radius = change.keywords["radius"] if isinstance(change, partial) else None
            function = change.func if isinstance(change, partial) else change
            for index, value in zip(indices, values, strict=True):
                found[number * chunk_size + index].append((function.__name__, value, radius))
    assert found == [steps_of_one(row) for row in rows]
    assert max(map(len, plans)) <= 16 + 1 + 8 + 1  # of each kind one for a chunk


def test_a_sigma_that_reaches_no_neighbour_changes_nothing(images):
    parameters = vectors(len(images), blur_on=1, blur_sigma=0.1)
    assert torch.equal(unnormalised(images, parameters), images)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_jitter_works_in_the_given_order(images, order):
    factors = (1.4, 0.5, 1.7, 0.2)
    parameters = vectors(
        len(images),
        jitter_on=1,
        brightness=factors[0],
        contrast=factors[1],
        saturation=factors[2],
        hue=factors[3],
    )
    parameters[:, Slot.ORDER : Slot.ORDER + 4] = torch.tensor(order)
    changes = (
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    )
    expected = images
    for number in order:
        expected = changes[number](expected, factors[number])
    torch.testing.assert_close(unnormalised(images, parameters), expected, rtol=0, atol=1e-4)


def test_a_batch_equals_its_images_one_by_one(images):
    """Every image with an order, changes and widths of its own."""
    generator = torch.Generator().manual_seed(2)
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
        solarize_on=torch.arange(number) % 5 == 1,
        solarize_threshold=0.5,
    )
    for row in parameters:
        row[Slot.ORDER : Slot.ORDER + 4] = torch.randperm(4, generator=generator)
    together = device.photometric(images, parameters, MEAN, STD)
    alone = [
        device.photometric(images[i : i + 1], parameters[i : i + 1], MEAN, STD)
        for i in range(number)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)


def test_cutting_a_batch_for_the_cache_changes_nothing(images, monkeypatch):
    parameters = vectors(len(images), jitter_on=1, hue=0.1, gray_on=[0, 0, 1] * 3, solarize_on=1)
    whole = device.photometric(images, parameters, MEAN, STD)
    monkeypatch.setattr(device, "_CACHED_VALUES", images[0].numel() * 2)
    torch.testing.assert_close(device.photometric(images, parameters, MEAN, STD), whole)


def test_order_of_stages_is_jitter_gray_blur_solarise(images):
    parameters = vectors(
        len(images),
        jitter_on=1,
        brightness=1.3,
        gray_on=1,
        blur_on=1,
        blur_sigma=1.0,
        solarize_on=1,
        solarize_threshold=0.4,
    )
    expected = reference.adjust_brightness(images, 1.3)
    expected = reference.rgb_to_grayscale(expected, num_output_channels=3)
    expected = reference.gaussian_blur(expected, [7, 7], [1.0, 1.0])
    solarised = reference.solarize(expected, 0.4)
    # Values a rounding error from the threshold may fall on either side.
    clear = (expected - 0.4).abs() > 1e-5
    result = unnormalised(images, parameters)
    torch.testing.assert_close(result[clear], solarised[clear], rtol=0, atol=1e-5)


def test_uint8_is_scaled_and_normalised_as_in_torchvision(images):
    pixels = (images * 255).byte()
    result = device.photometric(pixels, vectors(len(images)), MEAN, STD)
    scaled = reference.to_dtype(pixels, torch.float32, scale=True)
    torch.testing.assert_close(result, reference.normalize(scaled, MEAN, STD), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_is_kept_and_changes_no_number(images, layout):
    parameters = vectors(len(images), jitter_on=1, contrast=0.5, hue=0.1, gray_on=[0, 0, 1] * 3)
    expected = device.photometric(images, parameters, MEAN, STD)
    pixels = images.to(memory_format=layout)
    result = device.photometric(pixels, parameters, MEAN, STD)
    assert torch.equal(result, expected)
    assert result.is_contiguous(memory_format=layout)


def test_inputs_are_left_alone(images):
    before = images.clone()
    device.photometric(images, vectors(len(images), solarize_on=1), MEAN, STD)
    assert torch.equal(images, before)


def test_kept_channels_choose_mean_and_std_image_by_image():
    pixels = torch.full((2, 2, 3, 3), 0.5)
    kept = torch.tensor([[0.0, 2.0], [1.0, 2.0]])
    parameters = torch.cat([vectors(2), kept], dim=1)
    result = device.photometric(pixels, parameters, MEAN, STD)
    expected = [[(0.5 - MEAN[c]) / STD[c] for c in ids] for ids in ((0, 2), (1, 2))]
    torch.testing.assert_close(result[:, :, 0, 0], torch.tensor(expected))


def test_autocast_does_not_coarsen_the_pixels(images):
    parameters = vectors(len(images), jitter_on=1, contrast=0.5, blur_on=1, blur_sigma=1.0)
    expected = device.photometric(images, parameters, MEAN, STD)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(device.photometric(images, parameters, MEAN, STD), expected)


def test_contrast_of_other_channel_counts_uses_the_mean_of_all():
    image = torch.tensor([0.2, 0.6]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    result = device.adjust_contrast(image, torch.tensor([0.5]))
    torch.testing.assert_close(result[0, :, 0, 0], torch.tensor([0.3, 0.5]))


def test_an_empty_batch_stays_empty():
    result = device.photometric(torch.zeros(0, 3, 4, 4), vectors(0), MEAN, STD)
    assert result.shape == (0, 3, 4, 4)


def test_parameters_of_another_batch_are_refused(images):
    with pytest.raises(ValueError, match="parameters for 2"):
        device.photometric(images, vectors(2), MEAN, STD)


def test_vectors_of_another_layout_are_refused(images):
    with pytest.raises(ValueError, match="expected view parameters"):
        device.photometric(images, torch.zeros(len(images), 3), MEAN, STD)


def test_hue_of_a_full_turn_in_three_steps_comes_back():
    image = torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1)
    third = torch.tensor([1 / 3])
    shifted = device.adjust_hue(image, third)
    torch.testing.assert_close(shifted.flatten(), torch.tensor([0.1, 0.9, 0.5]))
    back = device.adjust_hue(device.adjust_hue(shifted, third), third)
    torch.testing.assert_close(back, image)
    assert math.isclose(shifted.sum().item(), 1.5, rel_tol=1e-5)

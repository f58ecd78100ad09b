import pytest
import torch

from lightly_core.parts.mixup import mixup


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, 3, 4, 5, generator=generator) for _ in range(2)]


def test_each_image_is_blended_with_its_partner(views):
    torch.manual_seed(0)
    mixed = mixup(views)
    assert sorted(mixed.partners.tolist()) == list(range(6))
    assert 0 <= mixed.weight < 1
    for view, blended in zip(views, mixed.views, strict=True):
        for i, partner in enumerate(mixed.partners.tolist()):
            expected = mixed.weight * view[i] + (1 - mixed.weight) * view[partner]
            torch.testing.assert_close(blended[i], expected)


def test_the_seed_decides(views):
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(mixup(views))
    assert torch.equal(results[0].views[0], results[1].views[0])
    assert results[0].weight != results[2].weight


def test_the_weight_is_uniform(views):
    torch.manual_seed(0)
    weights = torch.tensor([mixup(views).weight for _ in range(2000)])
    # Mean 1/2 with deviation 1/sqrt(12 * 2000) = 0.0065; variance 1/12.
    assert weights.mean().item() == pytest.approx(0.5, abs=0.02)
    assert weights.var().item() == pytest.approx(1 / 12, abs=0.01)


def test_memory_format_and_type_stay(views):
    view = views[0].to(memory_format=torch.channels_last).bfloat16()
    (blended,) = mixup([view]).views
    assert blended.is_contiguous(memory_format=torch.channels_last)
    assert blended.dtype == torch.bfloat16


def test_the_images_given_are_not_changed(views):
    before = views[0].clone()
    mixup(views)
    assert torch.equal(views[0], before)


def test_a_single_image_stays(views):
    one = views[0][:1]
    torch.testing.assert_close(mixup([one]).views[0], one)

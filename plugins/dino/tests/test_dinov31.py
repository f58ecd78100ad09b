import pickle

import numpy as np
import pytest
import torch

from lightly_dino.base_config import MaskArgs
from lightly_dino.dinov31 import DINOv31
from lightly_dino.dinov31_config import DINOv31Config
from lightly_dino.masks import BlockMasks
from lightly_dino.patch_kernels import MasksAndBoxes, cut, kernel_distance


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def plain_cka(x, y):
    """Kornblith et al. 2019, equation 3, with the centring matrix written out."""
    count = len(x)
    centring = torch.eye(count, dtype=x.dtype) - 1 / count
    own, other = (centring @ (z @ z.T) @ centring for z in (x, y))
    return (own * other).sum() / (own.norm() * other.norm())


@pytest.mark.parametrize("num_crops", [1, 3])
@pytest.mark.parametrize(("num_patches", "dims"), [(2, (3, 3)), (5, (2, 4)), (9, (8, 3))])
def test_kernel_distance_is_one_less_cka(num_crops, num_patches, dims):
    student, teacher = (draw(num_crops, num_patches, dim, seed=dim) for dim in dims)
    student = student + 1.0
    expected = 1 - sum(map(plain_cka, student, teacher)) / num_crops
    torch.testing.assert_close(kernel_distance(student, teacher), expected)


def test_turned_and_stretched_features_have_the_same_kernel():
    student = draw(2, 6, 4)
    turn = torch.linalg.qr(draw(4, 4, seed=1))[0]
    assert kernel_distance(student, 3 * student @ turn + 2).item() == pytest.approx(0, abs=1e-9)


def test_equal_patches_give_a_finite_loss_and_gradient():
    student = torch.ones(1, 4, 3, requires_grad=True)
    kernel_distance(student, torch.ones(1, 4, 3)).backward()
    assert student.grad.isfinite().all()


def test_cutting_out_everything_changes_nothing():
    images = draw(2, 3, 6, 6)
    boxes = torch.tensor([[[0.0, 0, 1, 1]]]).expand(2, 1, 4)
    torch.testing.assert_close(cut(images, boxes, 6), images)


def test_a_crop_holds_its_place():
    row, column = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    image = torch.stack([row, column])[None]
    boxes = torch.tensor([[[0.25, 0.5, 0.5, 0.25], [0.5, 0.0, 0.5, 0.5]]])
    crops = cut(image, boxes, 4)
    # In pixels: rows 2 to 6 in steps of 1, columns 4 to 6 in steps of 1/2; centres at halves.
    torch.testing.assert_close(crops[0, 0, :, 0], torch.tensor([2.0, 3, 4, 5]))
    torch.testing.assert_close(crops[0, 1, 0], torch.tensor([3.75, 4.25, 4.75, 5.25]))
    torch.testing.assert_close(crops[1], image[0, :, 4:, :4])


def test_boxes_lie_within_the_view_and_follow_the_generator():
    draws = MasksAndBoxes(BlockMasks((4, 4), 2, MaskArgs()), 50)
    boxes = pickle.loads(pickle.dumps(draws))(np.random.default_rng(0))["box"]
    assert boxes.shape == (2, 50, 4)
    top, left, height, width = boxes.unbind(-1)
    assert ((top >= 0) & (left >= 0) & (top + height <= 1) & (left + width <= 1)).all()
    assert (height * width).min() >= 0.05
    assert (height * width).max() <= 0.4001
    assert (width / height).min() > 0.74
    assert (width / height).max() < 1.34
    assert torch.equal(boxes, draws(np.random.default_rng(0))["box"])


def test_it_is_dinov2_and_the_distance_of_kernels(build, make_batch):
    options = {"paka_grid": 2, "paka_num_local": 4, "paka_weight": 0.5}
    method = build(DINOv31, DINOv31Config, **options)
    batch = make_batch(method)
    assert batch.extras["box"].shape == (4, 2, 2, 4)
    result = method.training_step(batch, 0)
    parts = {n: result.metrics[f"train_loss/{n}"] for n in ("dino", "ibot", "koleo", "paka")}
    expected = parts["dino"] + parts["ibot"] + 0.1 * parts["koleo"] + 0.5 * parts["paka"]
    torch.testing.assert_close(result.loss.detach(), expected)
    assert 0 < parts["paka"] < 1
    result.loss.backward()
    assert all(p.grad.abs().max() > 0 for p in method.heads["paka"].parameters() if p.ndim == 2)


def test_before_its_first_step_it_costs_nothing_and_asks_for_gradients(build, make_batch):
    method = build(DINOv31, DINOv31Config, paka_grid=2, paka_start_step=5)
    result = method.training_step(make_batch(method), 4)
    result.loss.backward()
    assert result.metrics["train_loss/paka"] == 0
    assert all(p.grad is not None for p in method.heads["paka"].parameters())
    assert method.training_step(make_batch(method), 5).metrics["train_loss/paka"] > 0

"""VICRegL: locations of positions, matches, the loss on them."""

import itertools
import math

import numpy as np
import pytest
import torch

from lightly_core.contracts import Batch
from lightly_core.errors import ConfigError
from lightly_core.testing.models import TinyConv
from lightly_methods.decorrelation.vicreg import vicreg_terms
from lightly_methods.decorrelation.vicregl_config import VICRegLConfig
from lightly_methods.decorrelation.vicregl_loss import (
    global_terms,
    locations,
    match_terms,
    matched_terms,
    mean_terms,
    nearest,
)

TERMS = ("invariance", "variance", "covariance")


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def values(terms):
    return [getattr(terms, name).item() for name in TERMS]


# --------------------------------------------------------------------------- locations


def test_known_locations():
    crops = torch.tensor([[0.2, 0.1, 0.6, 0.4, 0, 0], [0.2, 0.1, 0.6, 0.4, 1, 0]])
    plain, mirrored = locations(crops, (2, 3)).unflatten(1, (2, 3))  # (h, w, 2) each
    x, y = [0.3, 0.5, 0.7], [0.2, 0.4]
    for row, column in itertools.product(range(2), range(3)):
        assert plain[row, column].tolist() == pytest.approx([x[column], y[row]])
        assert mirrored[row, column].tolist() == pytest.approx([x[2 - column], y[row]])
    upside_down = locations(torch.tensor([[0.2, 0.1, 0.6, 0.4, 0, 1]]), (2, 3))[0]
    assert upside_down[:, 1].tolist() == pytest.approx([0.4] * 3 + [0.2] * 3)


def test_locations_are_those_that_the_pixels_of_real_views_come_from(make_case):
    """A picture of its own coordinates shows in each position about the location of it."""
    from lightly_core.data.views.two_stage import TwoStageTransform

    args = VICRegLConfig.default_transform()
    side = 128
    ramp = (np.arange(side, dtype=np.float32) + 0.5) / side
    picture = np.stack([*np.meshgrid(ramp, ramp), np.zeros((side, side), np.float32)], axis=2)
    transform = TwoStageTransform(args, crops=True)
    mirrored = set()
    for index in range(8):
        sample = transform.sample(picture, np.random.default_rng(index), index)
        for view, crop in zip(sample.views, sample.crops, strict=True):
            shown = torch.nn.functional.adaptive_avg_pool2d(view[:2], 7).flatten(1).T  # (49, 2)
            found = locations(crop[None], (7, 7))[0]
            torch.testing.assert_close(found, shown, rtol=0, atol=0.01)
            mirrored.add(crop[4].item())
    assert mirrored == {0, 1}


# --------------------------------------------------------------------------- matches


@pytest.mark.parametrize(("num_first", "num_second"), [(4, 4), (9, 2), (1, 5)])
@pytest.mark.parametrize("wanted", [1, 3, 50])
def test_nearest_matches_the_plain_loop(num_first, num_second, wanted):
    first, second = draw(3, num_first, 2), draw(3, num_second, 2, seed=1)
    own, neighbours = nearest(first, second, wanted)
    for b in range(3):
        found = []
        for n in range(num_first):
            distances = [math.dist(first[b, n].tolist(), row) for row in second[b].tolist()]
            found.append((min(distances), n, distances.index(min(distances))))
        found = sorted(sorted(found)[:wanted], key=lambda match: match[1])
        assert own[b].tolist() == [n for _, n, _ in found]
        assert neighbours[b].tolist() == [m for _, _, m in found]


def test_a_mirrored_view_is_matched_with_its_mirror_image():
    crops = torch.tensor([[0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]], dtype=torch.float64)
    plain, mirrored = locations(crops, (3, 3)).chunk(2)
    own, neighbours = nearest(plain, mirrored, 9)
    matches = dict(zip(own[0].tolist(), neighbours[0].tolist(), strict=True))
    assert matches == {
        3 * row + column: 3 * row + 2 - column for row in range(3) for column in (0, 1, 2)
    }


def test_views_that_do_not_overlap_are_matched_at_their_borders():
    crops = torch.tensor([[0, 0, 0.5, 1, 0, 0], [0.5, 0, 0.5, 1, 0, 0]])
    left, right = locations(crops, (1, 4)).chunk(2)
    own, neighbours = nearest(left, right, 1)
    assert (own.item(), neighbours.item()) == (3, 0)


# --------------------------------------------------------------------------- losses


def plain_spread(rows):
    """Variance and covariance term of rows of numbers, written as loops."""
    count, dim = len(rows), len(rows[0])
    means = [sum(row[d] for row in rows) / count for d in range(dim)]
    variance = covariance = 0.0
    for d, e in itertools.product(range(dim), repeat=2):
        entry = sum((row[d] - means[d]) * (row[e] - means[e]) for row in rows) / (count - 1)
        if d == e:
            variance += max(0.0, 1 - math.sqrt(entry + 1e-4)) / dim
        else:
            covariance += entry**2 / dim
    return variance, covariance


@pytest.mark.parametrize(("batch", "matches", "dim"), [(2, 1, 3), (4, 3, 2), (3, 5, 4)])
def test_terms_of_matches_match_the_plain_loop(batch, matches, dim):
    views = [draw(batch, matches, dim, seed=seed) for seed in (0, 1)]
    spreads = [plain_spread(view[:, k].tolist()) for view in views for k in range(matches)]
    invariance = (views[0] - views[1]).square().mean().item()
    expected = [invariance, *(sum(part) / (2 * matches) for part in zip(*spreads, strict=True))]
    assert values(matched_terms(*views)) == pytest.approx(expected)


def test_a_match_that_has_collapsed_is_not_hidden_by_the_others():
    wide = 2 * draw(64, 3, 5)
    wide = 2 * (wide - wide.mean(dim=0)) / wide.std(dim=0)  # deviation 2 in every match
    collapsed = torch.cat([wide, wide[:1].expand(64, -1, -1)], dim=1)
    variance = matched_terms(collapsed, collapsed).variance.item()
    assert variance == pytest.approx((1 - 1e-2) / 2)


def test_with_one_match_it_is_vicreg_with_half_of_the_covariance():
    first, second = draw(6, 3), draw(6, 3, seed=1)
    expected = values(vicreg_terms(first, second))
    expected[2] /= 2
    assert values(matched_terms(first[:, None], second[:, None])) == pytest.approx(expected)


@pytest.mark.parametrize("num_local", [0, 1, 3])
def test_views_count_once_however_many_pairs_they_are_in(num_local):
    views = [(0.4 + 0.1 * i) * draw(6, 3, seed=i) for i in range(2 + num_local)]
    pairs = [(i, j) for i in range(2) for j in range(len(views)) if i != j]
    spreads = [plain_spread(view.tolist()) for view in views]
    distances = [(views[i] - views[j]).square().mean().item() for i, j in pairs]
    parts = zip(*spreads, strict=True)
    expected = [sum(distances) / len(pairs), *(sum(part) / len(views) for part in parts)]
    assert values(global_terms(views, pairs)) == pytest.approx(expected)


def test_both_directions_count_the_same_with_matches_of_their_own():
    maps, keys = (draw(3, 6, 2), draw(3, 4, 2, seed=1)), (draw(3, 6, 2, seed=2), draw(3, 4, 2))
    both = match_terms(maps, keys, (5, 2))
    terms = []
    for one, other, count in ((0, 1, 5), (1, 0, 2)):
        own, neighbours = nearest(keys[one], keys[other], count)
        rows = torch.arange(3)[:, None]
        terms.append(matched_terms(maps[one][rows, own], maps[other][rows, neighbours]))
    assert values(both) == pytest.approx(values(mean_terms(terms)))


def test_gradient_reaches_both_sides_of_a_match_and_no_other_position():
    first, second = draw(2, 4, 3).requires_grad_(), draw(2, 4, 3, seed=1).requires_grad_()
    own, neighbours = nearest(first, second, 2)
    rows = torch.arange(2)[:, None]
    matched_terms(first[rows, own], second[rows, neighbours]).weighted(1, 1, 1).backward()
    for x, chosen in ((first, own), (second, neighbours)):
        moved = x.grad.abs().sum(dim=2) > 0
        expected = torch.zeros_like(moved).scatter(1, chosen, True)
        assert torch.equal(moved, expected)


# --------------------------------------------------------------------------- the method


@pytest.fixture
def case_of(make_case):
    return lambda **changes: make_case("vicregl", wrapper=TinyConv, **changes)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_parts_are_weighted(case_of, alpha):
    case = case_of(alpha=alpha)
    result = case.build().training_step(case.batch(), 0)
    parts = {name.split("/")[1]: value for name, value in result.metrics.items()}
    local = parts["feature_match"] + parts["location_match"]
    torch.testing.assert_close(result.loss.detach(), alpha * parts["image"] + (1 - alpha) * local)


def test_two_whole_views_have_the_loss_of_vicreg_with_half_of_the_covariance(case_of):
    case = case_of(alpha=1.0)
    method, batch = case.build(), case.batch()
    result = method.training_step(batch, 0)
    pooled = [
        method.model.forward_pool(method.model.forward_features(view))["pooled_features"]
        for view in batch.views
    ]
    terms = vicreg_terms(*(method.projector(x.flatten(1)) for x in pooled))
    torch.testing.assert_close(result.loss, terms.weighted(25, 25, 0.5))


def test_local_views_are_compared_with_global_ones_only(case_of):
    case = case_of(alpha=1.0)
    method, batch = case.build(), case.batch()
    small = batch.views[0][:, :, :16, :16]
    crop = torch.tensor([[0, 0, 0.5, 0.5, 0, 0]] * len(small))
    views, crops = [*batch.views, small, small + 1], [*batch.crops, crop, crop]
    result = method.training_step(Batch(views, batch.indices, crops=crops, num_global=2), 0)
    embeddings = [method.projector(method.pool(view)) for view in views]
    pairs = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3)]
    expected = global_terms(embeddings, pairs).weighted(25, 25, 1)
    torch.testing.assert_close(result.loss, expected)


def test_the_crops_decide_what_is_matched_by_location_only(case_of):
    case = case_of(num_matches=[2, 2])
    method, batch = case.build(), case.batch()
    moved = batch.crops[1].clone()
    moved[:, 4] = 1  # said to be mirrored
    other = Batch(batch.views, batch.indices, crops=[batch.crops[0], moved])
    first, second = (method.training_step(one, 0).metrics for one in (batch, other))
    assert first["train_loss/feature_match"] == second["train_loss/feature_match"]
    assert first["train_loss/location_match"] != second["train_loss/location_match"]


@pytest.mark.parametrize("match_all", [True, False])
def test_features_match_all_positions_unless_told_otherwise(case_of, match_all):
    case = case_of(num_matches=[3, 2], match_all_features=match_all)
    method, batch = case.build(), case.batch()
    result = method.training_step(batch, 0)
    maps = []
    for view in batch.views:
        features = method.model.forward_features(view)["features"].flatten(2).transpose(1, 2)
        rows = method.local_projector(features.flatten(0, 1))
        maps.append(rows.reshape(*features.shape[:2], -1))
    num_positions = maps[0].shape[1]
    assert num_positions > 3
    wanted = (num_positions, num_positions) if match_all else (3, 2)
    pairs = [
        match_terms((maps[i], maps[j]), (maps[i], maps[j]), wanted) for i, j in [(0, 1), (1, 0)]
    ]
    expected = mean_terms(pairs).weighted(25, 25, 1).detach()
    torch.testing.assert_close(result.metrics["train_loss/feature_match"], expected)


def test_a_single_position_is_refused(case_of):
    case = case_of(image_size=8)
    with pytest.raises(ConfigError, match="a feature map of 1 x 1 positions, expected more"):
        case.build().training_step(case.batch(), 0)


def test_no_match_is_refused():
    with pytest.raises(ValueError, match="two numbers >= 1"):
        VICRegLConfig(num_matches=(0, 4))


@pytest.mark.families
def test_a_run_gets_its_crops_and_refuses_turned_images(image_folder, tmp_path):
    import lightly_core

    settings = {
        "out": tmp_path / "out",
        "data": image_folder,
        "model": TinyConv(),
        "method": "vicregl",
        "method_args": {"hidden_dim": 16, "output_dim": 16, "local_hidden_dim": 16},
        "transform_args": {"image_size": 32},
        "epochs": 1,
        "batch_size": 8,
        "num_workers": 0,
        "accelerator": "cpu",
        "loggers": {"tensorboard": None},
    }
    lightly_core.pretrain(**settings)
    settings["transform_args"] = {"image_size": 32, "random_rotation": {"degrees": 5.0}}
    settings["out"] = tmp_path / "turned"
    with pytest.raises(
        ConfigError, match="random_rotation: the method needs the position of each view"
    ):
        lightly_core.pretrain(**settings)

import math

import numpy as np
import pytest
import torch

from lightly_core.evaluation.retrieval import _in_order, retrieval


def random_images(count, dim=6, num_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(num_classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(num_classes, (count,), generator=generator)
    return centres[labels] + 1.5 * torch.randn(count, dim, generator=generator), labels


def rankings(features, labels, query_features=None, query_labels=None):
    """For every query with something to find: its scores and which images are right."""
    alone = query_features is None
    queries = features if alone else query_features
    query_labels = labels if alone else query_labels
    unit = torch.nn.functional.normalize(features.double())
    for number, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        others = [i for i in range(len(features)) if not (alone and i == number)]
        cosine = (unit[others] @ torch.nn.functional.normalize(query.double(), dim=0)).numpy()
        right = (labels[others] == label).numpy()
        if right.any():
            yield cosine, right


def plain_loop(images, ks):
    """The definitions, one query and one rank at a time."""
    from sklearn.metrics import average_precision_score

    recall, precision, mean, at_r = {k: [] for k in ks}, {k: [] for k in ks}, [], []
    for cosine, right in rankings(*images):
        ranked = right[np.argsort(-cosine, kind="stable")]
        for k in ks:
            recall[k].append(any(ranked[:k]))
            precision[k].append(sum(ranked[:k]) / k)
        at_each = [sum(ranked[: i + 1]) / (i + 1) for i in range(len(ranked))]
        num_right = int(sum(ranked))
        mean.append(average_precision_score(right, cosine))
        at_r.append(sum(p for p, r in zip(at_each, ranked[:num_right], strict=False) if r))
        at_r[-1] /= num_right
    return (
        {k: np.mean(recall[k]) for k in ks},
        {k: np.mean(precision[k]) for k in ks},
        np.mean(mean),
        np.mean(at_r),
    )


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_agrees_with_the_plain_loop_and_scikit_learn(separate, chunk_size):
    images = random_images(90)
    queries = random_images(41, seed=1) if separate else ()
    ks = (1, 3, 10, 89)
    recall, precision, mean, at_r = plain_loop((*images, *queries), ks)
    named = dict(zip(("query_features", "query_labels"), queries, strict=False))
    result = retrieval(*images, **named, ks=ks, chunk_size=chunk_size)
    assert 0.3 < result.recall[1] < 0.9  # the features distinguish classes, but not perfectly
    assert result.recall == pytest.approx(recall)
    assert result.precision == pytest.approx(precision)
    assert result.mean_average_precision == pytest.approx(mean, rel=1e-5)
    assert result.map_at_r == pytest.approx(at_r, rel=1e-5)
    assert result.num_query == (41 if separate else 90)
    assert result.num_gallery == (90 if separate else 89)
    assert result.notes == ()


def test_the_order_is_that_of_a_stable_sort():
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([-torch.inf, -1.0, -1e-30, -0.0, 0.0, 0.5, 1.0])
    cosine = values[torch.randint(7, (20, 50), generator=generator)]
    right = torch.rand(20, 50, generator=generator) < 0.5
    order = cosine.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(_in_order(cosine, right), right.gather(1, order))


def test_measures_of_a_ranking_worked_out_by_hand():
    # Relevant at ranks 1, 3 and 4 of four: R = 3.
    radians = torch.tensor([10.0, 20.0, 30.0, 40.0]).deg2rad()
    gallery = torch.stack([radians.cos(), radians.sin()], dim=1)
    result = retrieval(
        gallery,
        torch.tensor([5, 9, 5, 5]),
        query_features=torch.tensor([[2.0, 0.0]]),
        query_labels=torch.tensor([5]),
        ks=(1, 2, 4),
    )
    assert result.recall == {1: 1.0, 2: 1.0, 4: 1.0}
    assert result.precision == {1: 1.0, 2: 0.5, 4: 0.75}
    assert result.mean_average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert result.map_at_r == pytest.approx((1 + 2 / 3) / 3)


def test_an_image_never_finds_itself():
    # Every image is its own best match; each of the others is of the other class but one.
    features = torch.eye(4) + 0.1 * torch.eye(4).roll(2, 0)
    result = retrieval(features, torch.tensor([0, 0, 1, 1]), ks=(1,))
    assert result.recall == {1: 0.0}


def test_an_image_does_not_find_itself_among_equal_ones_either():
    result = retrieval(torch.ones(6, 3), torch.tensor([0, 0, 1, 1, 2, 2]), ks=(5,))
    assert result.precision == {5: pytest.approx(1 / 5)}


def test_queries_with_nothing_to_find_are_left_out_and_counted():
    features, labels = random_images(40)
    whole = retrieval(features, labels)
    extended = retrieval(
        features,
        labels,
        query_features=torch.cat([features[:10], features[:3]]),
        query_labels=torch.cat([labels[:10], torch.tensor([17, -4, 99])]),
    )
    assert whole.notes == ()
    assert extended.num_query == 10
    assert extended.recall[1] == 1.0  # the queries are in the gallery here
    assert extended.notes == ("queries skipped, no other image of their class: 3",)
    labels = labels.clone()
    labels[7] = 50
    assert retrieval(features, labels).num_query == 39


def test_k_beyond_the_gallery_is_noted():
    result = retrieval(torch.eye(3), torch.tensor([0, 0, 0]), ks=(1, 10))
    assert result.precision == {1: 1.0, 10: pytest.approx(0.2)}
    assert result.notes == ("k up to 10, but only 2 images to find",)


def test_input_that_gives_no_number_is_refused():
    features, labels = random_images(10)
    with pytest.raises(ValueError, match="none of the 10 queries has an image"):
        retrieval(features, torch.arange(10))
    with pytest.raises(ValueError, match="at least one gallery image"):
        retrieval(features[:0], labels[:0])
    with pytest.raises(ValueError, match="each 1 or more"):
        retrieval(features, labels, ks=(0, 1))
    with pytest.raises(ValueError, match="together"):
        retrieval(features, labels, query_features=features)
    with pytest.raises(ValueError, match="finite query features"):
        retrieval(features, labels, query_features=features * math.nan, query_labels=labels)

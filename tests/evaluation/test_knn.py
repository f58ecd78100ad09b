import math

import numpy as np
import pytest
import torch

from lightly_core.evaluation.accuracy import topk_hits
from lightly_core.evaluation.knn import weighted_knn, weighted_knn_many
from lightly_core.evaluation.splitting import split


def random_task(num_train=120, num_query=61, dim=6, num_classes=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(num_classes, dim, generator=generator)

    def side(count):
        labels = torch.randint(num_classes, (count,), generator=generator)
        return centres[labels] + torch.randn(count, dim, generator=generator), labels

    return (*side(num_train), *side(num_query))


def at_angles(*degrees):
    radians = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1).float()


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("k", [1, 20, 120])
def test_agrees_with_scikit_learn(k, temperature):
    from sklearn.neighbors import KNeighborsClassifier

    train, train_labels, query, query_labels = random_task()

    def vote(distances):  # of unit vectors: squared distance = 2 - 2 cos
        return np.exp((1 - distances**2 / 2) / temperature)

    reference = KNeighborsClassifier(k, weights=vote, algorithm="brute")
    unit = [torch.nn.functional.normalize(x.double()).numpy() for x in (train, query)]
    reference.fit(unit[0], train_labels)
    probabilities = reference.predict_proba(unit[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")
    found = (order == query_labels.numpy()[:, None]) & (
        np.take_along_axis(probabilities, order, 1) > 0
    )

    result = weighted_knn(
        train, train_labels, query, query_labels, num_classes=7, k=k, temperature=temperature
    )

    assert 0.3 < result.top1 < 0.99  # the task is neither trivial nor impossible
    assert result.top1 == pytest.approx(found[:, 0].mean())
    assert result.top5 == pytest.approx(found[:, :5].any(axis=1).mean())
    assert (result.k, result.num_train, result.num_query, result.notes) == (k, 120, 61, ())


@pytest.mark.parametrize("k", [5, 40])
def test_agrees_with_the_cosine_metric_of_scikit_learn(k):
    from sklearn.neighbors import KNeighborsClassifier

    train, train_labels, query, query_labels = random_task(seed=4)
    reference = KNeighborsClassifier(
        k, metric="cosine", weights=lambda distances: np.exp((1 - distances) / 0.1)
    )
    reference.fit(train.double().numpy(), train_labels)
    expected = reference.score(query.double().numpy(), query_labels)
    result = weighted_knn(
        train, train_labels, query, query_labels, num_classes=7, k=k, temperature=0.1
    )
    assert 0.3 < expected < 0.99
    assert result.top1 == pytest.approx(expected)


def test_several_k_at_once_are_those_of_single_calls():
    task = random_task()
    ks = (20, 1, 120, 200)
    many = weighted_knn_many(*task, num_classes=7, ks=ks, chunk_size=13)
    assert many == [weighted_knn(*task, num_classes=7, k=k) for k in ks]
    assert [result.k for result in many] == [20, 1, 120, 120]
    assert many[3].notes == ("k reduced from 200 to the number of images, 120",)


@pytest.mark.parametrize("ks", [(), (0,), (5, -1)])
def test_k_below_one_and_no_k_are_refused(ks):
    with pytest.raises(ValueError, match="at least one k"):
        weighted_knn_many(*random_task(), num_classes=7, ks=ks)


def test_label_that_is_no_class_is_refused():
    train, train_labels, query, query_labels = random_task()
    with pytest.raises(ValueError, match=r"query labels in \[0, 7\)"):
        weighted_knn(train, train_labels, query, query_labels + 7, num_classes=7)


@pytest.mark.parametrize("floor", [-math.inf, 0.0])
def test_hits_are_those_of_a_stable_sort(floor):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-3, 4, (300, 9), generator=generator).float()  # many are equal
    scores[::7, 2], scores[5, 4] = -math.inf, math.nan
    labels = torch.randint(9, (300,), generator=generator)
    labels[5] = 4
    order = scores.masked_fill(scores.isnan(), -math.inf).sort(dim=1, descending=True, stable=True)
    found = (order.indices == labels[:, None]) & (order.values > floor)
    expected = [int(found[:, :k].sum()) for k in (1, 5, 20)]
    assert topk_hits(scores, labels, (1, 5, 20), floor=floor).tolist() == expected


@pytest.mark.parametrize("chunk_size", [1, 7, 61, 1000])
def test_chunk_size_does_not_matter(chunk_size):
    task = random_task()
    whole = weighted_knn(*task, num_classes=7, chunk_size=61)
    assert weighted_knn(*task, num_classes=7, chunk_size=chunk_size) == whole


@pytest.mark.parametrize(("temperature", "expected"), [(0.07, 1.0), (1.0, 0.0)])
def test_near_neighbour_outvotes_two_far_ones_only_at_low_temperature(temperature, expected):
    # exp(cos 5° / T) against 2 exp(cos 40° / T): e^14.2 > 2 e^10.9, but e^0.996 < 2 e^0.766.
    assert math.exp(math.cos(math.radians(5))) < 2 * math.exp(math.cos(math.radians(40)))
    train, labels = at_angles(5, 40, -40), torch.tensor([1, 0, 0])
    result = weighted_knn(
        train, labels, at_angles(0), torch.tensor([1]), num_classes=2, k=3, temperature=temperature
    )
    assert result.top1 == expected


def test_length_of_the_features_does_not_matter():
    train, train_labels, query, query_labels = random_task()
    scaled = train * torch.linspace(0.01, 100, len(train))[:, None]
    same = weighted_knn(scaled, train_labels, 1e3 * query, query_labels, num_classes=7)
    assert same == weighted_knn(train, train_labels, query, query_labels, num_classes=7)


def test_equal_scores_go_to_the_lower_class():
    train, labels = at_angles(30, -30), torch.tensor([2, 1])
    query = at_angles(0, 0)
    result = weighted_knn(train, labels, query, torch.tensor([1, 2]), num_classes=3, k=2)
    assert (result.top1, result.top5) == (0.5, 1.0)


def test_class_without_a_vote_is_not_among_the_best_five():
    train, labels = at_angles(10, 20), torch.tensor([0, 1])
    result = weighted_knn(train, labels, at_angles(0), torch.tensor([2]), num_classes=3, k=2)
    assert result.top5 == 0.0


def test_tiny_temperature_does_not_overflow():
    train, labels = at_angles(1, 50), torch.tensor([1, 0])
    result = weighted_knn(
        train, labels, at_angles(0), torch.tensor([1]), num_classes=2, k=2, temperature=1e-4
    )
    assert result.top1 == 1.0


def test_k_above_the_number_of_images_is_reduced_with_a_note():
    train, labels = at_angles(0, 90), torch.tensor([0, 1])
    result = weighted_knn(train, labels, at_angles(10), torch.tensor([0]), num_classes=2, k=20)
    assert result.k == 2
    assert result.notes == ("k reduced from 20 to the number of images, 2",)


@pytest.mark.parametrize("side", ["train", "query"])
def test_features_that_are_not_finite_are_refused(side):
    train, train_labels, query, query_labels = random_task()
    {"train": train, "query": query}[side][3, 2] = math.nan
    with pytest.raises(ValueError, match=f"finite {side} features"):
        weighted_knn(train, train_labels, query, query_labels, num_classes=7)


def test_no_query_image_is_refused():
    train, train_labels, query, query_labels = random_task()
    with pytest.raises(ValueError, match="at least one query image"):
        weighted_knn(train, train_labels, query[:0], query_labels[:0], num_classes=7)


def test_split_puts_every_class_on_both_sides_and_no_image_twice():
    labels = np.repeat([0, 1, 2, 3], [2, 3, 50, 1000])
    parts = split(labels, max_images=10_000, query_fraction=0.2, seed=0)
    assert np.bincount(labels[parts.query]).tolist() == [1, 1, 10, 200]
    assert np.bincount(labels[parts.train]).tolist() == [1, 2, 40, 800]
    both = np.concatenate([parts.train, parts.query])
    assert np.array_equal(np.sort(both), np.arange(len(labels)))


def test_split_keeps_the_shares_of_the_classes_within_max_images():
    labels = np.repeat([0, 1, 2], [2, 400, 1600])
    parts = split(labels, max_images=202, query_fraction=0.2, seed=0)
    used = np.bincount(labels[np.concatenate([parts.train, parts.query])])
    assert used.sum() <= 202
    assert used[0] == 2
    assert used[2] / used[1] == pytest.approx(4, rel=0.05)


def test_split_leaves_out_and_counts_classes_with_one_image_and_images_without_class():
    labels = [5, -1, 0, 5, -1, 3, 5]
    parts = split(labels, max_images=100, query_fraction=0.5, seed=1)
    assert sorted([*parts.train, *parts.query]) == [0, 3, 6]
    assert (parts.num_single, parts.num_excess) == (2, 0)


def test_split_with_more_classes_than_room_uses_and_counts_a_part_of_them():
    labels = np.arange(300) // 3  # 100 classes of three
    parts = split(labels, max_images=21, query_fraction=0.2, seed=0)
    assert len(np.unique(labels[parts.train])) == 10
    assert len(parts.train) + len(parts.query) <= 21
    assert parts.num_excess == 90
    other = split(labels, max_images=21, query_fraction=0.2, seed=1)
    assert set(labels[parts.train]) != set(labels[other.train])


def test_split_depends_on_the_seed_alone():
    labels = np.random.default_rng(3).integers(0, 5, 200)

    def once(seed):
        parts = split(labels, max_images=100, query_fraction=0.2, seed=seed)
        return parts.train.tolist(), parts.query.tolist()

    np.random.seed(1)
    first = once(0)
    np.random.seed(2)
    assert once(0) == first
    assert once(1) != first


def test_split_without_two_images_of_any_class_is_empty():
    parts = split([0, 1, 2, -1, -1], max_images=100, query_fraction=0.2, seed=0)
    assert len(parts.train) == len(parts.query) == 0

"""DeepCluster-v2: memory, labels, clusters."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError
from lightly_core.parts.kmeans import nearest_centroids
from lightly_core.testing.models import TinyConv
from lightly_methods.clustering.deepclusterv2 import cluster_cross_entropy
from lightly_methods.clustering.deepclusterv2_memory import FeatureMemory

EPOCH = 10  # steps, of `MethodCase`


@pytest.fixture
def built(make_case):
    def build(**changes):
        case = make_case("deepclusterv2", wrapper=TinyConv, **changes)
        return case.build(), case.batch()

    return build


def at(batch, *indices):
    return replace(batch, indices=torch.tensor(indices))


@pytest.mark.parametrize(
    ("heads", "views", "classes"), list(itertools.product([1, 3], [1, 4], [2, 7]))
)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_loss_matches_the_plain_loop(heads, views, classes, temperature):
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(heads, views, 5, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, classes, (heads, 5), generator=generator)
    labels[0, 0] = 0
    total, count = 0.0, 0
    for h, v, b in itertools.product(range(heads), range(views), range(5)):
        if labels[h, b] >= 0:
            powers = [math.exp(c / temperature) for c in cosines[h, v, b].tolist()]
            total -= math.log(powers[labels[h, b]] / sum(powers))
            count += 1
    loss = cluster_cross_entropy(cosines, labels, temperature)
    assert loss.item() == pytest.approx(total / count, rel=1e-9)


def test_closed_forms():
    equal = torch.zeros(2, 3, 4, 5)
    labels = torch.randint(5, (2, 4))
    assert cluster_cross_entropy(equal, labels, 0.1).item() == pytest.approx(math.log(5))
    none = cluster_cross_entropy(equal.requires_grad_(), torch.full((2, 4), -1), 0.1)
    assert none.item() == 0
    none.backward()
    assert not equal.grad.any()


def test_the_memory_keeps_the_latest_features_of_each_image():
    memory = FeatureMemory(6, 2, 3, 1)
    first, second = torch.randn(2, 2, 2, 3)
    memory.write(torch.tensor([4, 1]), first)
    memory.write(torch.tensor([1, 5]), second)
    for view in range(2):
        expected = torch.stack([second[view, 0], first[view, 0], second[view, 1]])
        assert memory.rows(view).equal(expected)  # images 1, 4, 5
    memory.set_labels(0, torch.tensor([7, 8, 9]))
    assert memory.labels_of(torch.tensor([5, 0, 1]), torch.device("cpu")).tolist() == [[9, -1, 7]]


def test_the_memory_of_another_data_set_is_refused():
    state = FeatureMemory(6, 2, 3, 1).get_extra_state()
    with pytest.raises(ValueError, match="features of 2 x 6 x 3 numbers, expected 2 x 5 x 3"):
        FeatureMemory(5, 2, 3, 1).set_extra_state(state)


def test_labels_of_the_first_epoch_are_balanced_within_the_batch(built):
    method, batch = built(num_prototypes=8, num_heads=2)
    cosines = 0.01 * torch.randn(2, 2, 8, 8)
    cosines[..., 0] += 0.5  # All would choose the first cluster.
    labels = method._balanced_labels(cosines)
    assert all(len(own.unique()) > 4 for own in labels)
    result = method.training_step(batch, 0)
    assert result.metrics["clusters/labelled"] == 1
    assert not method.memory.clustered


def test_clusters_are_found_at_the_end_of_each_epoch_only(built):
    method, batch = built()
    method.training_step(batch, 0)
    before = method.centroids.clone()
    method.after_step(EPOCH - 1)
    assert method.centroids.equal(before)
    method.after_step(EPOCH)
    assert not method.centroids.equal(before)
    before = method.centroids.clone()
    other = replace(batch, views=[view.flip(0) ** 2 for view in batch.views])
    method.training_step(other, EPOCH)
    method.after_step(method.context.total_steps)  # nothing would come of it
    assert method.centroids.equal(before)
    method.after_step(2 * EPOCH)
    assert not method.centroids.equal(before)


def test_each_clustering_has_its_view_and_labels_are_the_nearest_centroids(built):
    method, batch = built(num_heads=3, num_prototypes=3)
    method.training_step(batch, 0)
    method.after_step(EPOCH)
    for head in range(3):
        rows = method.memory.rows(head % 2)
        expected = nearest_centroids(rows, method.centroids[head])
        assert method.memory.labels[head, batch.indices].equal(expected)
        for k, centroid in enumerate(method.centroids[head]):
            mean = F.normalize(rows[expected == k].sum(dim=0), dim=0)
            torch.testing.assert_close(centroid, mean)


def test_images_that_were_not_clustered_are_left_out(built):
    method, batch = built()
    method.training_step(batch, 0)
    method.after_step(EPOCH)
    result = method.training_step(at(batch, 0, 1, 2, 3, 20, 21, 22, 23), EPOCH)
    assert result.metrics["clusters/labelled"] == 0.5
    assert result.loss > 0
    result = method.training_step(at(batch, *range(30, 38)), EPOCH)
    assert result.loss == 0
    result.loss.backward()


def test_labels_and_centroids_stay_within_an_epoch_also_after_a_resume(built):
    method, batch = built()
    method.training_step(batch, 0)
    method.after_step(EPOCH)
    labels, centroids = method.memory.labels.clone(), method.centroids.clone()
    other = replace(batch, views=[view.flip(0) for view in batch.views])
    method.training_step(other, EPOCH)
    method.after_step(EPOCH + 1)
    fresh, _ = built()
    fresh.load_state_dict(method.state_dict())
    for one in (method, fresh):
        assert one.memory.labels.equal(labels)
        assert one.centroids.equal(centroids)
        one.after_step(2 * EPOCH)
    assert fresh.memory.labels.equal(method.memory.labels)
    assert fresh.centroids.equal(method.centroids)
    # The features were those of the later step.
    assert not fresh.centroids.equal(centroids)


def test_centroids_are_not_trained(built):
    method, _ = built()
    assert "centroids" in dict(method.named_buffers())
    assert not any("centroids" in name for name, _ in method.named_parameters())


def test_the_memory_is_no_buffer(built):
    """Buffers are sent to all processes in every step."""
    method, _ = built()
    assert not any(name.startswith("memory") for name, _ in method.named_buffers())
    assert "memory._extra_state" in method.state_dict()


def test_too_much_memory_is_refused(make_case):
    # 80 images * 2 views * 16 numbers * 4 bytes
    make_case("deepclusterv2", max_memory_gb=10240 / 1e9).build()
    with pytest.raises(ConfigError, match=r"80 images \* 2 views \* 16 numbers"):
        make_case("deepclusterv2", max_memory_gb=10000 / 1e9).build()

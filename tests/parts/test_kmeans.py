import pytest
import torch
import torch.nn.functional as F

from lightly_core.parts.kmeans import nearest_centroids, sample_rows, spherical_kmeans


def directions(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def plain_kmeans(rows, centroids, num_iterations):
    centroids = [c.tolist() for c in centroids]
    for _ in range(num_iterations):
        sums = [[0.0] * rows.shape[1] for _ in centroids]
        for row in rows.tolist():
            products = [sum(a * b for a, b in zip(row, c, strict=True)) for c in centroids]
            nearest = products.index(max(products))
            sums[nearest] = [a + b for a, b in zip(sums[nearest], row, strict=True)]
        for k, total in enumerate(sums):
            length = sum(a * a for a in total) ** 0.5
            if length > 0:
                centroids[k] = [a / length for a in total]
    return torch.tensor(centroids, dtype=torch.float64)


@pytest.mark.parametrize("num_rows", [1, 7, 40])
@pytest.mark.parametrize("num_centroids", [1, 3, 10])
@pytest.mark.parametrize("num_iterations", [0, 1, 4])
def test_it_matches_the_plain_loop(num_rows, num_centroids, num_iterations):
    rows, start = directions(num_rows, 4), directions(num_centroids, 4, seed=1)
    found = spherical_kmeans(rows, start, num_iterations=num_iterations)
    torch.testing.assert_close(found, plain_kmeans(rows, start, num_iterations))


@pytest.mark.parametrize("chunk_size", [1, 7, 39, 40, 1000])
def test_chunks_do_not_matter(chunk_size):
    rows, start = directions(40, 4), directions(5, 4, seed=1)
    expected = spherical_kmeans(rows, start)
    torch.testing.assert_close(spherical_kmeans(rows, start, chunk_size=chunk_size), expected)
    nearest = nearest_centroids(rows, expected)
    assert nearest.equal((rows @ expected.T).argmax(dim=1))
    assert nearest_centroids(rows, expected, chunk_size=chunk_size).equal(nearest)


def test_it_finds_clusters_that_are_there():
    centres = torch.eye(4, dtype=torch.float64)
    truth = torch.arange(200) % 4
    rows = F.normalize(centres[truth] + 0.1 * directions(200, 4), dim=1)
    found = spherical_kmeans(rows, rows[:4])
    assert nearest_centroids(rows, found).equal(truth)
    assert (found * centres).sum(dim=1).min() > 0.99


def test_a_centroid_without_rows_stays():
    rows = F.normalize(directions(20, 3).abs(), dim=1)
    start = torch.stack([rows[0], -rows.mean(dim=0) / rows.mean(dim=0).norm()])
    found = spherical_kmeans(rows, start)
    assert found[1].equal(start[1])
    assert not found[0].equal(start[0])


def test_opposite_rows_leave_the_centroid_where_it_is():
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    start = torch.tensor([[0.0, 1.0]])
    assert spherical_kmeans(rows, start).equal(start)


def test_the_start_is_not_changed_and_half_precision_is_lifted():
    rows, start = directions(20, 3).bfloat16(), directions(4, 3, seed=1).bfloat16()
    before = start.clone()
    found = spherical_kmeans(rows, start)
    assert found.dtype == torch.float32
    assert start.equal(before)


def test_drawn_rows_are_different_ones_and_depend_on_the_generator_only():
    rows = torch.arange(10.0)[:, None]

    def drawn(count, seed):
        return sample_rows(rows, count, torch.Generator().manual_seed(seed))[:, 0].tolist()

    assert len(set(drawn(10, 0))) == 10
    assert drawn(4, 0) == drawn(4, 0) != drawn(4, 1)
    assert sorted(drawn(20, 0)) == sorted(2 * list(range(10)))

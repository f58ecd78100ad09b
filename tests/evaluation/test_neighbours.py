"""Searches in parts give what a search at once gives, and make no tensor of all pairs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from largest import Largest

from lightly_core.evaluation import neighbours
from lightly_core.evaluation.faiss_search import num_clusters, num_probed, search_recall
from lightly_core.evaluation.knn import weighted_knn_many
from lightly_core.evaluation.neighbours import ExactSearch, cosines
from lightly_core.evaluation.retrieval import retrieval

N, M, D = 400, 150, 6


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(5, D, generator=generator)

    def side(count):
        labels = torch.randint(5, (count,), generator=generator)
        return centres[labels] + torch.randn(count, D, generator=generator), labels

    return (*side(N), *side(M))


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_NUMBERS", 2000)


@pytest.mark.parametrize("bank_dtype", [torch.float32, torch.float16])
def test_neighbours_are_those_of_all_cosines(task, few_at_once, bank_dtype):
    bank, queries = task[0].to(bank_dtype), F.normalize(task[2][:40], dim=1)
    everything = queries.double() @ F.normalize(bank.double(), dim=1).T
    cosine, rows = ExactSearch(bank)(queries, 150)  # more than there are in one part
    assert rows.tolist() == everything.argsort(dim=1, descending=True)[:, :150].tolist()
    torch.testing.assert_close(cosine.double(), everything.gather(1, rows), rtol=0, atol=1e-6)
    torch.testing.assert_close(cosines(queries, bank).double(), everything, rtol=0, atol=1e-6)


def test_knn_in_parts_is_that_at_once(task, monkeypatch):
    whole = weighted_knn_many(*task, num_classes=5, ks=(3, 20))
    monkeypatch.setattr(neighbours, "MAX_NUMBERS", 2000)
    with Largest() as largest:
        parts = weighted_knn_many(*task, num_classes=5, ks=(3, 20))
    assert parts == whole
    assert N * D <= largest.numbers < N * M / 12


@pytest.mark.slow
@pytest.mark.parametrize("separate", [True, False])
def test_retrieval_in_parts_is_that_at_once(task, separate, monkeypatch):
    given = {"query_features": task[2], "query_labels": task[3]} if separate else {}
    whole = retrieval(*task[:2], **given)
    monkeypatch.setattr(neighbours, "MAX_NUMBERS", 2000)
    with Largest() as largest:
        parts = retrieval(*task[:2], **given)
    assert parts.recall == whole.recall
    assert parts.precision == pytest.approx(whole.precision, rel=1e-12)
    assert parts.mean_average_precision == pytest.approx(whole.mean_average_precision, rel=1e-12)
    assert parts.map_at_r == pytest.approx(whole.map_at_r, rel=1e-12)
    assert N * D <= largest.numbers < N * M / 12


def test_retrieval_among_the_first_images_is_that_of_the_whole_ranking(task, monkeypatch):
    queries = {"query_features": task[2], "query_labels": task[3]}
    whole = retrieval(*task[:2], **queries, ks=(1, 9))
    first = retrieval(*task[:2], **queries, ks=(1, 9), search=ExactSearch(task[0]))
    assert (first.recall, first.precision) == (whole.recall, whole.precision)
    assert first.map_at_r == pytest.approx(whole.map_at_r, rel=1e-12)
    assert first.mean_average_precision is None
    monkeypatch.setattr("lightly_core.evaluation.retrieval._MAX_DEPTH", 50)
    shallow = retrieval(*task[:2], **queries, ks=(1, 9), search=ExactSearch(task[0]))
    assert (shallow.recall, shallow.map_at_r) == (whole.recall, None)  # R is above 50
    with pytest.raises(ValueError, match="with search"):
        retrieval(*task[:2], search=ExactSearch(task[0]))


def half_of(search):
    """A search that misses the second half of the neighbours."""

    def half(queries, k):
        cosine, rows = search(queries, k)
        cosine[:, k // 2 :], rows[:, k // 2 :] = -torch.inf, -1
        return cosine, rows

    return half


def test_missing_neighbours_neither_vote_nor_count(task):
    exact = ExactSearch(task[0])
    (few,) = weighted_knn_many(*task, num_classes=5, ks=(10,))
    (missing,) = weighted_knn_many(*task, num_classes=5, ks=(20,), search=half_of(exact))
    assert (missing.top1, missing.top5) == (few.top1, few.top5)
    queries = {"query_features": task[2], "query_labels": task[3]}
    half = retrieval(*task[:2], **queries, ks=(400,), search=half_of(exact))
    whole = retrieval(*task[:2], **queries, ks=(200,))
    assert half.precision[400] == pytest.approx(whole.precision[200] / 2)


def test_recall_is_the_fraction_of_the_nearest_that_are_found(task):
    recalls = search_recall(half_of(ExactSearch(task[0])), task[0], task[2], (5, 10, 40), seed=0)
    assert recalls == {5: 1.0, 10: 1.0, 40: 0.5}


def test_numbers_of_clusters():
    assert [num_clusters(n) for n in (5, 100, 10_000, 1_000_000)] == [1, 2, 256, 4000]
    assert [num_probed(n) for n in (5, 100, 10_000, 1_000_000)] == [1, 2, 16, 125]


@pytest.mark.slow
def test_faiss_finds_nearly_all_and_the_same_each_time():
    pytest.importorskip("faiss", reason="FAISS is an extra")
    from lightly_core.evaluation.faiss_search import FaissSearch

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, 16), np.float32)
    rows = centres[rng.integers(30, size=4000)] + 0.5 * rng.standard_normal((4000, 16), np.float32)
    bank, queries = torch.from_numpy(rows[:3900]), F.normalize(torch.from_numpy(rows[3900:]), dim=1)
    search = FaissSearch(bank)
    assert (search.nlist, search.nprobe) == (100, 16)
    recalls = search_recall(search, bank, queries, (1, 20), seed=0)
    assert 0.9 < recalls[20] <= 1
    assert search_recall(FaissSearch(bank, nprobe=100), bank, queries, (20,), 0) == {20: 1.0}
    cosine, found = search(queries, 20)
    again = FaissSearch(bank)(queries, 20)
    assert torch.equal(found, again[1])
    right = (queries[:, None] * F.normalize(bank, dim=1)[found]).sum(dim=2)
    torch.testing.assert_close(cosine, right)
    # Fewer rows in the cluster than neighbours.
    cosine, found = FaissSearch(bank, nprobe=1)(queries, 3900)
    assert (found == -1).any(dim=1).all()
    assert torch.isneginf(cosine[found == -1]).all()

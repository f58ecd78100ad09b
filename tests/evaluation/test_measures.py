"""Where features are worked on."""

import importlib.util

import pytest
import torch

from lightly_core.config.options.evaluate import EvaluateConfig, KnnProtocol, RetrievalProtocol
from lightly_core.evaluation import measures
from lightly_core.evaluation.neighbours import ExactSearch
from lightly_core.evaluation.request import evaluate_problems
from lightly_core.evaluation.results import print_results


@pytest.mark.parametrize(("free", "expected"), [(10_000, "cuda"), (100, "cpu")])
def test_features_stay_on_a_device_with_much_room(monkeypatch, free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    features = torch.zeros(10, 5)  # 200 bytes
    assert measures._features_device(torch.device("cuda"), features).type == expected


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_features_of_other_devices_are_worked_on_by_the_cpu(kind):
    assert measures._features_device(torch.device(kind), torch.zeros(1)).type == "cpu"


class Half(ExactSearch):
    """Finds the nearer half of the neighbours, and looks like a search by FAISS."""

    nlist, nprobe = 12, 5

    def __init__(self, bank, *, nprobe, seed):
        super().__init__(bank)

    def __call__(self, queries, k):
        cosine, rows = super().__call__(queries, k)
        cosine[:, k // 2 :], rows[:, k // 2 :] = -torch.inf, -1
        return cosine, rows


def test_results_of_a_search_by_faiss_tell_how_much_it_finds(monkeypatch, capsys):
    monkeypatch.setattr(measures, "FaissSearch", Half)
    torch.manual_seed(0)
    labels = torch.arange(40) % 2
    train = measures.FeatureSet(torch.randn(40, 4), labels, 0)
    features = measures.TaskFeatures(
        train, measures.FeatureSet(torch.randn(6, 4), labels[:6], 0), 2
    )
    (knn,) = measures.measure_knn(KnnProtocol(k=10, search="faiss"), features, 0)
    (five,) = measures.measure_knn(KnnProtocol(k=5), features, 0)
    searched = {"search": "faiss", "nlist": 12, "nprobe": 5}
    assert knn.settings == {"k": 10, "temperature": 0.07, **searched}
    assert knn.values == {**five.values, "search_recall": 0.5}
    found = measures.measure_retrieval(RetrievalProtocol(k=(2, 20), search="faiss"), features, 0)
    assert found.settings == {"k": [2, 20], **searched}
    assert "map" not in found.values  # needs the whole ranking
    assert found.values["search_recall"] == 0.5
    result = {"protocol": "retrieval", "seconds": 0.0, "notes": [], **found.values}
    data = {"num_val": 6, "validation": "", "num_classes": 2, "num_train": 40}
    print_results([{**result, "settings": found.settings, "data": data}])
    printed = " ".join(capsys.readouterr().out.split())
    assert "faiss" in printed
    assert "50.00 % of the neighbours" in printed


def test_a_missing_faiss_is_reported_before_anything_is_computed(monkeypatch):
    config = EvaluateConfig(
        model="a/b",
        data="builtin:digits",
        knn=KnnProtocol(search="faiss"),
        retrieval=RetrievalProtocol(search="faiss"),
    )
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "faiss" else find(name)
    )
    problems = evaluate_problems(config)
    assert [problem.partition(":")[0] for problem in problems] == [
        "config.knn.search",
        "config.retrieval.search",
    ]
    assert "pip install faiss-cpu, or search=exact" in problems[0]


def test_settings_of_another_search_are_refused():
    with pytest.raises(ValueError, match="nprobe belongs to search='faiss'"):
        KnnProtocol(nprobe=4)

"""Where features are worked on."""

import pytest
import torch

from lightly_core.evaluation import measures


@pytest.mark.parametrize(("free", "expected"), [(10_000, "cuda"), (100, "cpu")])
def test_features_stay_on_a_device_with_much_room(monkeypatch, free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    features = torch.zeros(10, 5)  # 200 bytes
    assert measures._features_device(torch.device("cuda"), features).type == expected


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_features_of_other_devices_are_worked_on_by_the_cpu(kind):
    assert measures._features_device(torch.device(kind), torch.zeros(1)).type == "cpu"

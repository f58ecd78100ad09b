"""Synchronised batch norms, compared with torch's on the whole batch."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightly_core.parts import sync_batch_norm
from lightly_core.parts.sync_batch_norm import SyncBatchNorm, desynchronise, synchronise
from lightly_core.testing import shared_group


class NormAct(nn.BatchNorm2d):
    """As `BatchNormAct2d` of timm."""

    def __init__(self, dim):
        super().__init__(dim)
        self.drop = nn.Identity()
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class ShiftedNorm(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


NORMS = {
    "1d": (lambda: nn.BatchNorm1d(3, eps=0.5), (9, 3)),
    "1d with positions": (lambda: nn.BatchNorm1d(3, affine=False), (9, 3, 4)),
    "2d": (lambda: nn.BatchNorm2d(3, momentum=None), (9, 3, 2, 5)),
    "2d without bias": (lambda: without_bias(nn.BatchNorm2d(3)), (9, 3, 2, 5)),
    "not tracked": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (9, 3, 2, 5)),
    "activating": (lambda: NormAct(3), (9, 3, 2, 5)),
}
# Rows of the processes: equal, uneven, one without any, and single rows.
SLICES = {2: [(5, 4), (8, 1), (0, 9)], 3: [(3, 3, 3), (4, 4, 1), (0, 7, 2)]}


def without_bias(norm):
    norm.bias = None
    return norm


def trained(rank, name, slices, size):
    """Output and all gradients of two forward passes and one backward pass, and the buffers."""
    make, shape = NORMS[name]
    torch.manual_seed(0)
    norm = make().double()
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 1, 2)
    data = torch.randn(2, *shape, dtype=torch.float64) * 2 + 10
    weights = torch.randn(shape, dtype=torch.float64)
    start = sum(slices[:rank])
    rows = slice(start, start + slices[rank])
    if size > 1:
        assert synchronise(norm) == []
    norm(data[1, rows])
    x = data[0, rows].clone().requires_grad_()
    output = norm(x)
    (output.sin() * weights[rows]).sum().backward()
    # Without running statistics each process has its own in evaluation mode, as in torch.
    norm.train(not norm.track_running_stats).requires_grad_(False)
    return {
        "rows": [output.detach(), x.grad, norm(x).detach()],
        "sums": [parameter.grad for parameter in norm.parameters()],
        "equal": [buffer.double() for buffer in norm.buffers()],
    }


def trained_in_all_ways(rank, size):
    return {
        (name, rows): trained(rank, name, rows, size) for name in NORMS for rows in SLICES[size]
    }


@pytest.mark.processes
@pytest.mark.parametrize("size", SLICES)
def test_processes_normalise_with_the_statistics_of_the_whole_batch(size):
    found = shared_group(size).run(trained_in_all_ways, size)
    for name, rows in found[0]:
        results = [result[name, rows] for result in found]
        expected = trained(0, name, (9,), 1)
        for number, tensor in enumerate(expected["rows"]):
            joined = torch.cat([result["rows"][number] for result in results])
            torch.testing.assert_close(joined, tensor, msg=lambda m, n=(name, rows): f"{n}: {m}")
        for number, tensor in enumerate(expected["sums"]):
            torch.testing.assert_close(sum(r["sums"][number] for r in results), tensor)
        for result in results:
            torch.testing.assert_close(result["equal"], expected["equal"])


@pytest.mark.parametrize("name", NORMS)
def test_one_process_with_all_rows_has_the_results_and_gradients_of_torch(name, monkeypatch):
    # As if there were several, but without messages: nothing is added to the sums.
    monkeypatch.setattr(sync_batch_norm, "world_size", lambda: 2)
    monkeypatch.setattr(sync_batch_norm, "gather", lambda rows: rows)
    monkeypatch.setattr(sync_batch_norm, "dist", SimpleNamespace(all_reduce=lambda sums: None))
    torch.testing.assert_close(trained(0, name, (9,), 2), trained(0, name, (9,), 1))


def network():
    """Norms of each kind, one of which is used twice."""
    torch.manual_seed(0)
    shared = nn.BatchNorm2d(3)
    layers = [nn.Conv2d(3, 3, 1), shared, NormAct(3), shared, ShiftedNorm(3), nn.GroupNorm(1, 3)]
    module = nn.Sequential(*layers)
    module(torch.randn(4, 3, 2, 2))
    return module


@pytest.mark.parametrize("with_torch", [False, True])
def test_the_same_modules_compute_the_same_in_evaluation_mode_and_get_their_classes_back(
    with_torch,
):
    module = network()
    images = torch.randn(4, 3, 2, 2)
    expected = copy.deepcopy(module).eval()(images)
    parts, kinds = list(module.modules()), [type(part) for part in module.modules()]
    state = module.state_dict(keep_vars=True)
    assert synchronise(module, with_torch=with_torch) == ["4"]
    kind = nn.SyncBatchNorm if with_torch else SyncBatchNorm
    assert [isinstance(part, kind) for part in module] == [False, True, True, True, False, False]
    assert torch.equal(module.eval()(images), expected)
    assert all(a is b for a, b in zip(module.modules(), parts, strict=True))
    now = module.state_dict(keep_vars=True)
    assert now.keys() == state.keys()
    assert all(now[name] is state[name] for name in state)
    for copied in (module, copy.deepcopy(module)):
        desynchronise(copied)
        assert [type(part) for part in copied.modules()] == kinds
        assert not any("process_group" in vars(part) for part in copied.modules())


def test_in_one_process_it_is_a_plain_batch_norm():
    module, images = network(), torch.randn(4, 3, 2, 2)
    synchronised = copy.deepcopy(module)
    synchronise(synchronised)
    assert torch.equal(synchronised(images), module(images))
    for name, tensor in module.state_dict().items():
        assert torch.equal(synchronised.state_dict()[name], tensor)

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightly_core.parts import known_shapes
from lightly_core.parts.known_shapes import KnownShapes


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(known_shapes, "_known", {})


class Counted(TorchDispatchMode):
    """Counts the operations that reach torch."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


MAP = (2, 8, 6, 10)
CASES = {
    "layer norm": lambda: F.layer_norm(empty(2, 5, 8), (8,)),
    "batch norm": lambda: nn.BatchNorm2d(8, device="meta").eval()(empty(*MAP)),
    "batch norm in training": lambda: nn.BatchNorm2d(8, device="meta")(empty(*MAP)),
    "group norm": lambda: F.group_norm(empty(*MAP), 4),
    "attention": lambda: F.scaled_dot_product_attention(*(empty(2, 2, 5, 4) for _ in range(3))),
    "linear": lambda: nn.Linear(8, 3, device="meta")(empty(2, 5, 8)),
    "convolution": lambda: nn.Conv2d(8, 4, 3, 2, device="meta")(empty(*MAP)),
    "channels last": lambda: F.gelu(empty(*MAP).to(memory_format=torch.channels_last)),
    "permuted": lambda: F.hardswish(empty(*MAP).permute(0, 2, 3, 1)),
    "a part": lambda: F.softmax(empty(*MAP)[:, 2:5, ::2], dim=1),
    "in place": lambda: F.hardswish(empty(*MAP), inplace=True),
    "in place, of another type": lambda: empty(*MAP, dtype=torch.float64).add_(empty(*MAP)),
    "resizing": lambda: F.interpolate(empty(*MAP), size=(3, 4), mode="bicubic", antialias=True),
    "joined": lambda: torch.cat([empty(2, 1, 8), empty(2, 5, 8)], dim=1),
    "cut": lambda: torch.stack(empty(2, 6, 8).chunk(3, dim=1)),
    "several results": lambda: torch.stack(torch.var_mean(empty(*MAP), dim=(2, 3))),
    "promoted": lambda: empty(4, dtype=torch.int64) / 2,
    "compared": lambda: empty(4) > 0.5,
    "a number of another type": lambda: empty(4, dtype=torch.int64) * 2.0,
    "drawn": lambda: F.dropout(empty(4, 5), 0.5),
    "filled": lambda: torch.zeros(3, 4, device="meta"),
}


def described(tensor):
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.storage_offset()


@pytest.mark.parametrize("case", CASES)
def test_results_are_those_of_torch_at_the_first_time_and_later(case):
    expected = described(CASES[case]())
    with KnownShapes():
        assert [described(CASES[case]()) for _ in range(3)] == [expected] * 3


def test_an_operation_is_computed_once_for_equal_inputs():
    with Counted() as counted, KnownShapes():
        for shape in ((2, 3), (2, 3), (2, 4), (2, 3)):
            F.gelu(empty(*shape))
        F.gelu(empty(2, 3), approximate="tanh")
        F.gelu(empty(2, 3, dtype=torch.float64))
        F.gelu(empty(3, 2).T)
    assert counted.names.count("aten::gelu") == 5


def test_arguments_of_other_types_are_not_mixed_up():
    with KnownShapes():
        found = [(empty(4, dtype=torch.int64) * number).dtype for number in (1, 1.0, True)]
    assert found == [torch.int64, torch.float32, torch.int64]


def test_the_default_type_counts():
    found = []
    try:
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            with KnownShapes():
                found.append((empty(4, dtype=torch.int64) / 2).dtype)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == [torch.float32, torch.float64]


def test_what_has_values_is_computed():
    with KnownShapes():
        results = [F.gelu(torch.full((3,), value)) for value in (1.0, 2.0, 1.0)]
    expected = [0.8413, 1.9545, 0.8413]
    assert [result[0].item() for result in results] == pytest.approx(expected, abs=1e-4)


def test_views_and_changes_in_place_stay_with_their_tensor():
    with KnownShapes():
        for _ in range(2):
            x = empty(4, 6)
            assert F.relu_(x) is x
            assert x.view(24)._base is x
            assert x.resize_(2, 3).shape == (2, 3)
            assert x.shape == (2, 3)


def test_gradients_have_the_shapes_of_the_parameters():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU()).to("meta")
    with KnownShapes():
        for _ in range(2):
            model.zero_grad()
            model(empty(2, 3, 8, 8)).sum().backward()
    assert all(p.grad.shape == p.shape and p.grad.is_meta for p in model.parameters())


def test_an_error_is_raised_each_time():
    with KnownShapes():
        for _ in range(2):
            with pytest.raises(RuntimeError, match="reduction dim"):
                empty(2, 3) @ empty(4, 5)


def test_not_more_than_a_number_of_results_is_kept(monkeypatch):
    monkeypatch.setattr(known_shapes, "_MOST_RESULTS", 3)
    with KnownShapes():
        for size in range(1, 20):
            assert F.gelu(empty(size)).shape == (size,)
    assert len(known_shapes._known) <= 3

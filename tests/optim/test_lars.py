import copy
import itertools
import math

import pytest
import torch
from torch import nn

from lightly_core.optim import lars
from lightly_core.optim.lars import LARS


def norm(values):
    return math.sqrt(sum(value * value for value in values))


class PlainLARS:
    """The formulas of the docstring, number by number."""

    def __init__(self, *, lr, momentum, dampening, weight_decay, nesterov, trust, clip, adapt):
        self.lr, self.momentum, self.dampening = lr, momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self.trust, self.clip, self.adapt = trust, clip, adapt
        self.velocities = {}

    def rate(self, weights, gradients):
        weight_norm, gradient_norm = norm(weights), norm(gradients)
        if not self.adapt or weight_norm == 0 or gradient_norm == 0:
            return 1.0
        rate = self.trust * weight_norm
        rate /= gradient_norm + self.weight_decay * weight_norm + 1e-8
        return min(rate / self.lr, 1.0) if self.clip else rate

    def step(self, key, weights, gradients):
        rate = self.rate(weights, gradients)
        after = []
        for i, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            change = rate * (gradient + self.weight_decay * weight)
            if (key, i) in self.velocities:
                velocity = self.momentum * self.velocities[key, i] + (1 - self.dampening) * change
            else:
                velocity = change
            self.velocities[key, i] = velocity
            if self.nesterov:
                velocity = change + self.momentum * velocity
            after.append(weight - self.lr * velocity)
        return after


def random_parameters(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (2, 3, 1, 2), (5,)]
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def set_gradients(parameters, step):
    generator = torch.Generator().manual_seed(100 + step)
    for parameter in parameters:
        gradient = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.grad = gradient.to(parameter.dtype)


SETTINGS = [
    {"momentum": momentum, "weight_decay": decay, "clip": clip, "adapt": adapt, **form}
    for (momentum, form), decay, clip, adapt in itertools.product(
        [
            (0.0, {"dampening": 0.0, "nesterov": False}),
            (0.9, {"dampening": 0.0, "nesterov": False}),
            (0.9, {"dampening": 0.3, "nesterov": False}),
            (0.9, {"dampening": 0.0, "nesterov": True}),
        ],
        [0.0, 0.1],
        [False, True],
        [False, True],
    )
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_matches_the_plain_loop(settings):
    parameters = random_parameters()
    expected = [parameter.detach().flatten().tolist() for parameter in parameters]
    plain = PlainLARS(lr=0.3, trust=0.02, **settings)
    group = {"params": parameters, "adapt": settings["adapt"]}
    rest = {key: value for key, value in settings.items() if key != "adapt"}
    optimizer = LARS([group], lr=0.3, trust_coefficient=0.02, **rest)
    for step in range(5):
        set_gradients(parameters, step)
        optimizer.step()
        for key, parameter in enumerate(parameters):
            expected[key] = plain.step(key, expected[key], parameter.grad.flatten().tolist())
    for parameter, values in zip(parameters, expected, strict=True):
        assert parameter.flatten().tolist() == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize("most", [1, 5, 12])  # values of a batch; (2, 3, 1, 2) has rows of 6
@pytest.mark.parametrize("nesterov", [False, True])
def test_batches_of_any_size_give_the_same_numbers(monkeypatch, most, nesterov):
    options = {"lr": 0.3, "weight_decay": 0.1, "trust_coefficient": 0.02, "nesterov": nesterov}
    results = []
    for values in (most, 1 << 30):
        monkeypatch.setattr(lars, "_CACHED_VALUES", values)
        parameters = random_parameters(torch.float32)
        parameters[1].data = parameters[1].data.to(memory_format=torch.channels_last)
        optimizer = LARS(parameters, **options)
        for step in range(3):
            set_gradients(parameters, step)
            parameters[2].grad = parameters[2].grad if step else None  # its momentum starts late
            optimizer.step()
        results.append([*parameters, *(optimizer.state[p]["momentum_buffer"] for p in parameters)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_without_adaptation_it_is_sgd():
    ours, theirs = random_parameters(), random_parameters()
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
    optimizer = LARS([{"params": ours, "adapt": False}], **options)
    sgd = torch.optim.SGD(theirs, **options)
    for step in range(4):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimizer.step()
        sgd.step()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-12, atol=0)


@pytest.mark.parametrize("clip", [False, True])
def test_parameters_that_start_at_zero_move_as_with_sgd(clip):
    parameter = nn.Parameter(torch.zeros(2, 2))
    parameter.grad = torch.ones(2, 2)
    LARS([parameter], lr=0.5, clip=clip).step()
    assert parameter.tolist() == [[-0.5, -0.5], [-0.5, -0.5]]


def test_the_step_does_not_depend_on_the_scale_of_the_loss():
    ours, scaled = random_parameters(), random_parameters()
    optimizers = [LARS(ours, lr=0.3), LARS(scaled, lr=0.3)]
    for step in range(3):
        set_gradients(ours, step)
        set_gradients(scaled, step)
        for parameter in scaled:
            parameter.grad *= 1000
        for optimizer in optimizers:
            optimizer.step()
    for our, other in zip(ours, scaled, strict=True):
        torch.testing.assert_close(our, other, rtol=1e-7, atol=0)


def test_the_relative_step_does_not_depend_on_the_scale_of_the_weights():
    small, large = random_parameters(), random_parameters()
    with torch.no_grad():
        for parameter in large:
            parameter *= 100
    optimizers = [LARS(small, lr=0.3), LARS(large, lr=0.3)]
    for step in range(3):
        set_gradients(small, step)
        set_gradients(large, step)
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(100 * one, other, rtol=1e-7, atol=1e-7)


def test_a_parameter_that_gets_its_first_gradient_late_starts_its_momentum_then():
    parameters = random_parameters()
    late = parameters[2]
    optimizer = LARS(parameters, lr=0.3)
    set_gradients(parameters, 0)
    late.grad = None
    before = late.detach().clone()
    optimizer.step()
    assert torch.equal(late, before)

    set_gradients(parameters, 1)
    plain = PlainLARS(
        lr=0.3, momentum=0.9, dampening=0, weight_decay=0, nesterov=False, trust=0.001,
        clip=False, adapt=True,
    )  # fmt: skip
    expected = plain.step(0, before.tolist(), late.grad.tolist())
    optimizer.step()
    assert late.tolist() == pytest.approx(expected, rel=1e-12)


def test_parameters_of_several_dtypes_are_stepped_each_in_its_own():
    parameters = [random_parameters(dtype)[0] for dtype in (torch.float64, torch.bfloat16)]
    optimizer = LARS(parameters, lr=1.0, momentum=0.0, trust_coefficient=0.1)
    set_gradients(parameters, 0)
    double, half = parameters
    half.grad = double.grad.to(torch.bfloat16)
    optimizer.step()
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), double.detach(), rtol=0.02, atol=0.02)


def test_a_saved_state_goes_on_with_the_same_numbers():
    parameters = random_parameters()
    optimizer = LARS(parameters, lr=0.3)
    set_gradients(parameters, 0)
    optimizer.step()
    copies = [nn.Parameter(parameter.detach().clone()) for parameter in parameters]
    resumed = LARS(copies, lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    set_gradients(parameters, 1)
    set_gradients(copies, 1)
    optimizer.step()
    resumed.step()
    for one, other in zip(parameters, copies, strict=True):
        assert torch.equal(one, other)


def test_the_closure_is_called_with_gradients_on():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = LARS([parameter], lr=1.0, momentum=0.0, trust_coefficient=0.1)

    def closure():
        loss = parameter.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2
    # The rate is 0.1 * sqrt(2) / sqrt(2), the gradient is one.
    assert parameter.tolist() == pytest.approx([0.9, 0.9])


def test_no_value_is_read_on_the_host():
    # Tensors on "meta" have no values, so reading one fails.
    parameter = nn.Parameter(torch.ones(2, 2, device="meta"))
    optimizer = LARS([parameter], lr=0.1, weight_decay=0.1, clip=True)
    for _ in range(2):
        parameter.grad = torch.ones(2, 2, device="meta")
        optimizer.step()
    assert optimizer.state[parameter]["momentum_buffer"].device.type == "meta"


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_without_proper_momentum_is_refused(options):
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        LARS([nn.Parameter(torch.ones(1))], lr=0.1, nesterov=True, **options)

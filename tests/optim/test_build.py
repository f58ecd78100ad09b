import pytest
import torch
from torch import nn

from lightly_core.config.options.optim import OPTIMIZERS, AdamArgs, AdamWArgs, LARSArgs, SGDArgs
from lightly_core.errors import ConfigError
from lightly_core.optim.build import (
    build_optimizer,
    build_scheduler,
    can_be_fused,
    scheduled_lr,
    set_weight_decay,
)
from lightly_core.optim.groups import ParameterGroup, default_parameter_groups
from lightly_core.optim.lars import LARS

CPU = torch.device("cpu")


def build(groups, name="sgd", args=None, peak_lr=0.1, **options):
    args = OPTIMIZERS[name]() if args is None else args
    return build_optimizer(groups, name, args, peak_lr=peak_lr, device=CPU, **options)


def groups_of(module, **options):
    return [ParameterGroup("all", list(module.parameters()), **options)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adamw", torch.optim.AdamW),
        ("adam", torch.optim.Adam),
        ("sgd", torch.optim.SGD),
        ("lars", LARS),
    ],
)
def test_every_name_builds_its_optimizer(name, kind):
    assert type(build(groups_of(nn.Linear(2, 2)), name)) is kind


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_carry_decay_and_learning_rate(name):
    args = OPTIMIZERS[name](weight_decay=0.3)
    module = nn.Linear(2, 2)
    decayed, not_decayed = default_parameter_groups(module)
    not_decayed.lr_scale = 0.5
    first, second = build([decayed, not_decayed], name, args, peak_lr=0.2).param_groups
    assert first["params"] == [module.weight]
    assert (first["name"], first["weight_decay"], first["lr"]) == ("decayed", 0.3, 0.2)
    assert second["params"] == [module.bias]
    assert (second["name"], second["weight_decay"], second["lr"]) == ("not_decayed", 0.0, 0.1)
    assert (second["lr_scale"], second["initial_lr"], second["constant_lr"]) == (0.5, 0.1, False)


def test_lars_adapts_only_what_is_decayed():
    optimizer = build(default_parameter_groups(nn.Linear(2, 2)), "lars")
    assert [group["adapt"] for group in optimizer.param_groups] == [True, False]


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("adamw", AdamWArgs(betas=(0.8, 0.9), eps=1e-6), {"betas": (0.8, 0.9), "eps": 1e-6}),
        ("adam", AdamArgs(betas=(0.8, 0.9), eps=1e-6), {"betas": (0.8, 0.9), "eps": 1e-6}),
        ("sgd", SGDArgs(momentum=0.7, nesterov=True), {"momentum": 0.7, "nesterov": True}),
        (
            "lars",
            LARSArgs(momentum=0.7, dampening=0.2, trust_coefficient=0.02, eps=1e-6, clip=True),
            {
                "momentum": 0.7,
                "dampening": 0.2,
                "nesterov": False,
                "trust_coefficient": 0.02,
                "eps": 1e-6,
                "clip": True,
            },
        ),
    ],
)
def test_options_reach_the_optimizer(name, args, expected):
    (group,) = build(groups_of(nn.Linear(2, 2)), name, args).param_groups
    assert {key: group[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_fused_is_used_unless_forbidden(name):
    module = nn.Linear(2, 2)
    assert build(groups_of(module), name).param_groups[0]["fused"] is True
    assert not build(groups_of(module), name, fused=False).param_groups[0]["fused"]


def test_only_floating_point_on_cpu_and_cuda_is_fused():
    real, imaginary = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2) * 1j)
    assert can_be_fused([real], CPU, "sgd")
    assert can_be_fused([real], torch.device("cuda", 0), "sgd")
    assert not can_be_fused([real], torch.device("mps"), "sgd")
    assert not can_be_fused([real, imaginary], CPU, "sgd")


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_fused_and_plain_take_the_same_steps(name):
    modules = []
    for fused in (True, False):
        torch.manual_seed(0)
        # More weights than a vector register holds: kernels treat the rest apart.
        module = nn.Linear(9, 9)
        optimizer = build(default_parameter_groups(module), name, fused=fused)
        for _ in range(3):
            optimizer.zero_grad()
            module(torch.ones(2, 9)).square().sum().backward()
            optimizer.step()
        modules.append(module)
    torch.testing.assert_close(modules[0].weight, modules[1].weight)
    torch.testing.assert_close(modules[0].bias, modules[1].bias)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_sgd_moves_every_weight_of_half_precision(dtype, momentum):
    # Fused SGD moved the last ones only. All these numbers are exact in both formats.
    weight = nn.Parameter(torch.ones(100, dtype=dtype))
    args = SGDArgs(momentum=momentum, weight_decay=0.0)
    optimizer = build([ParameterGroup("all", [weight])], "sgd", args, peak_lr=0.25)
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    expected = 1 - 0.25 - 0.25 * (1 + momentum)
    assert torch.equal(weight.detach(), torch.full_like(weight, expected))


def test_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match=r"unknown optimizer 'rprop', .*adamw, adam, sgd, lars"):
        build(groups_of(nn.Linear(2, 2)), "rprop", SGDArgs())


@pytest.mark.parametrize("fused", [True, False])
def test_adam_adds_its_decay_to_the_gradient_and_adamw_does_not(fused):
    """Against the formulas of the two papers, for the first step from a gradient of 3."""
    expected = {"adam": 2 - 0.1, "adamw": 2 - 0.1 * 0.5 * 2 - 0.1}
    for name, value in expected.items():
        weight = nn.Parameter(torch.full((1, 1), 2.0))
        args = OPTIMIZERS[name](weight_decay=0.5, eps=1e-12)
        optimizer = build([ParameterGroup("all", [weight])], name, args, fused=fused)
        for gradient in (3.0, -1.0):
            weight.grad = torch.full((1, 1), gradient)
            optimizer.step()
            if gradient == 3.0:
                assert weight.item() == pytest.approx(value)
        if name == "adam":
            # Gradients with decay: 3 + 0.5 * 2 = 4, then -1 + 0.5 * 1.9 = -0.05.
            mean = (0.9 * 0.1 * 4 + 0.1 * -0.05) / (1 - 0.9**2)
            square = (0.999 * 0.001 * 16 + 0.001 * 0.05**2) / (1 - 0.999**2)
            assert weight.item() == pytest.approx(1.9 - 0.1 * mean / square**0.5)


def test_options_of_another_optimizer_are_refused():
    with pytest.raises(ConfigError, match=r"'sgd' got AdamWArgs, expected SGDArgs"):
        build(groups_of(nn.Linear(2, 2)), "sgd", AdamWArgs())


def learning_rates(optimizer, scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_schedule_multiplies_each_groups_own_peak():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [
        ParameterGroup("one", list(one.parameters())),
        ParameterGroup("two", list(two.parameters()), lr_scale=0.5),
    ]
    optimizer = build(groups, peak_lr=0.8)
    scheduler = build_scheduler(optimizer, warmup_steps=2, total_steps=5, final_fraction=0.25)
    # Cosine over three steps: 1, halfway between 1 and 0.25, 0.25.
    factors = [0.5, 1.0, 1.0, 0.625, 0.25]
    expected = [[0.8 * factor, 0.4 * factor] for factor in factors]
    rates = learning_rates(optimizer, scheduler, 5)
    assert [rate for pair in rates for rate in pair] == pytest.approx(
        [rate for pair in expected for rate in pair]
    )


def test_a_constant_group_has_no_schedule():
    optimizer = build(groups_of(nn.Linear(2, 2), constant_lr=True), peak_lr=0.8)
    scheduler = build_scheduler(optimizer, warmup_steps=2, total_steps=5, final_fraction=0.0)
    assert learning_rates(optimizer, scheduler, 5) == [[0.8]] * 5


def test_the_schedule_goes_on_from_a_saved_state():
    def pair():
        optimizer = build(groups_of(nn.Linear(2, 2)))
        return optimizer, build_scheduler(
            optimizer, warmup_steps=3, total_steps=10, final_fraction=0.0
        )

    optimizer, scheduler = pair()
    expected = learning_rates(optimizer, scheduler, 10)

    optimizer, scheduler = pair()
    learning_rates(optimizer, scheduler, 4)
    saved = optimizer.state_dict(), scheduler.state_dict()
    optimizer, scheduler = pair()
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    assert learning_rates(optimizer, scheduler, 6) == expected[4:]


def test_a_saved_schedule_is_plain_data(tmp_path):
    optimizer = build(groups_of(nn.Linear(2, 2)))
    scheduler = build_scheduler(optimizer, warmup_steps=3, total_steps=10, final_fraction=0.0)
    torch.save([optimizer.state_dict(), scheduler.state_dict()], tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert loaded[1]["last_epoch"] == 0


def test_weight_decay_goes_to_its_end_along_a_cosine_each_group_with_its_factor():
    one, two, three = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [
        ParameterGroup("one", list(one.parameters())),
        ParameterGroup("half", list(two.parameters()), weight_decay=0.5),
        ParameterGroup("none", list(three.parameters()), weight_decay=False),
    ]
    args = AdamWArgs(weight_decay=0.04, weight_decay_end=0.4)
    optimizer = build(groups, "adamw", args)
    for step, decay in ((0, 0.04), (1, 0.22), (2, 0.4), (7, 0.4)):  # halfway at step 1 of 0, 1, 2
        set_weight_decay(optimizer, args, step=step, total_steps=3)
        decays = [group["weight_decay"] for group in optimizer.param_groups]
        assert decays == pytest.approx([decay, decay / 2, 0])


def test_without_an_end_weight_decay_stays():
    args = AdamWArgs(weight_decay=0.04)
    optimizer = build(groups_of(nn.Linear(2, 2)), "adamw", args)
    set_weight_decay(optimizer, args, step=2, total_steps=3)
    assert optimizer.param_groups[0]["weight_decay"] == 0.04


@pytest.mark.parametrize("fused", [True, False])
def test_a_layer_may_get_its_first_gradient_later(fused):
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = build(groups_of(module), "sgd", SGDArgs(momentum=0.9), fused=fused)
    late, x = module[1].weight, torch.ones(4, 3)
    start = late.detach().clone()
    for step in range(3):
        optimizer.zero_grad()
        module(x).sum().backward()
        if step == 0:
            late.grad = module[1].bias.grad = None
        optimizer.step()
        assert torch.equal(late, start) == (step == 0)


@pytest.mark.parametrize("factors", [(1.0, 0.25), (0.25, 1.0), (0.5, 0.25), (10.0, 1.0)])
def test_the_rate_that_is_logged_is_the_one_without_a_factor(factors):
    groups = [
        ParameterGroup("head", list(nn.Linear(1, 1).parameters()), constant_lr=True),
        *(ParameterGroup("g", list(nn.Linear(1, 1).parameters()), lr_scale=f) for f in factors),
    ]
    optimizer = build(groups, peak_lr=0.4)
    scheduler = build_scheduler(optimizer, warmup_steps=4, total_steps=20, final_fraction=0.0)
    for step in range(4):
        assert scheduled_lr(optimizer) == pytest.approx(0.4 * scheduler.lr_lambdas[1](step))
        optimizer.step()
        scheduler.step()


def test_the_rate_that_is_logged_is_exact_where_a_group_has_no_factor():
    assert 0.1 * 0.7 / 0.7 != 0.1
    groups = [
        ParameterGroup("g", list(nn.Linear(1, 1).parameters()), lr_scale=factor)
        for factor in (0.7, 1.0, 2.1)
    ]
    assert scheduled_lr(build(groups, peak_lr=0.1)) == 0.1

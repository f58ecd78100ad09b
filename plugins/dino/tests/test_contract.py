import pytest

from lightly_core.testing import method_checks, parametrize_checks, plugin_checks

FIRST = ("dino", "dinov3")
# M2 takes twenty steps, M8 steps with images in full size.
LONG = ("M2", "M8")
SMALL = {"hidden_dim": 512, "bottleneck_dim": 16}
PROTOTYPES = {"hidden_dim": 32, "bottleneck_dim": 16, "output_dim": 64}
# Targets of the first steps move faster than a student can follow, until the centre has found its
# place. With a teacher and a centre that stand still, all steps are those of one problem.
STILL = {"momentum_start": 1.0}
STILL_CENTER = {**STILL, "center_momentum": 1.0}

METHODS = {
    "dino": (PROTOTYPES, STILL_CENTER),
    "ibot": (PROTOTYPES, STILL_CENTER),
    "dinov2": (PROTOTYPES, STILL_CENTER),
    "dinov3": ({**PROTOTYPES, "gram_start_step": 1}, STILL_CENTER),
    "dinov31": ({**PROTOTYPES, "paka_grid": 2}, STILL_CENTER),
    "simdino": (SMALL, STILL),
    "simdinov2": (SMALL, STILL),
}


def circle(name, code):
    """Marks of a check: the second circle has most of them."""
    return () if name in FIRST and code not in LONG else pytest.mark.families


@parametrize_checks(plugin_checks("dino"))
def test_plugin(check):
    check()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check.code}", marks=circle(name, check.code))
        for name, (options, still) in METHODS.items()
        for check in method_checks(name, method_args=options, fit_args=still)
    ],
)
def test_contract(check):
    check()


@pytest.mark.families
@pytest.mark.parametrize("name", ["dino", "dinov2"])
@pytest.mark.parametrize("code", ["M1", "M5", "M10"])
@pytest.mark.parametrize(
    "options",
    [
        {"centering": "sinkhorn"},
        {"anchor_weight": 0.5, "head_warmup_steps": 1},
        {"batch_norm": True, "export": "student"},
    ],
    ids=["sinkhorn", "anchor", "batch_norm"],
)
def test_with_options(name, code, options):
    (check,) = [
        c for c in method_checks(name, method_args={**PROTOTYPES, **options}) if c.code == code
    ]
    check()

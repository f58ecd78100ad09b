import pytest

from lightly_core.testing import method_checks, parametrize_checks, plugin_checks

PREDICTOR = {"predictor_dim": 16, "predictor_depth": 1}
HEAD = {"hidden_dim": 32, "output_dim": 16, "num_prototypes": 32}
METHODS = {
    "mae": {"decoder_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2},
    "simmim": {},
    "msn": HEAD,
    "pmsn": HEAD,
    "ijepa": {**PREDICTOR, "predictor_num_heads": 2},
    "capi": {**PREDICTOR, "predictor_head_dim": 8, "num_clusters": 32},
}
# Targets of the first steps move faster than a student can follow. With a teacher that stands
# still, all steps are those of one problem.
STILL = {"msn": {"momentum_start": 1.0}, "pmsn": {"momentum_start": 1.0}}


def checks_of(name):
    options = METHODS[name]
    for check in method_checks(name, method_args=options):
        if check.code != "M2":
            yield check
    still = method_checks(name, method_args={**options, **STILL.get(name, {})})
    yield from (check for check in still if check.code == "M2")


@parametrize_checks(plugin_checks("ssl"))
def test_plugin(check):
    check()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check.code}")
        for name in METHODS
        for check in checks_of(name)
    ],
)
def test_contract(check):
    check()

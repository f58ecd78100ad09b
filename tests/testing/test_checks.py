import pytest
import torch

from lightly_core.testing import Check, parametrize_checks
from lightly_core.testing.checks import require, require_close


def failing():
    raise AssertionError("broken")


def passing():
    pass


CHECKS = [Check("A1", "holds", passing), Check("A2", "breaks", failing)]


@parametrize_checks(CHECKS, expected_failures={"A2": "known"})
def test_known_failure_is_reported_as_such(check):
    check()


TEST_FILE = """
from lightly_core.testing import Check, parametrize_checks

def passing(): pass
def failing(): raise AssertionError("broken")

CHECKS = [Check("A1", "holds", passing), Check("A2", "breaks", failing)]

@parametrize_checks(CHECKS, expected_failures=REASONS)
def test_contract(check):
    check()
"""


@pytest.mark.parametrize(
    ("reasons", "outcomes"),
    [
        ({}, {"A1-holds": "passed", "A2-breaks": "failed"}),
        ({"A2": "known"}, {"A1-holds": "passed", "A2-breaks": "skipped"}),
        ({"A1": "known"}, {"A1-holds": "failed", "A2-breaks": "failed"}),
    ],
)
def test_every_check_is_a_test_and_an_expected_failure_must_fail(tmp_path, reasons, outcomes):
    class Recorder:
        def __init__(self):
            self.outcomes = {}

        def pytest_runtest_logreport(self, report):
            if report.when == "call":
                self.outcomes[report.nodeid.partition("[")[2].rstrip("]")] = report.outcome

    file = tmp_path / f"test_{tmp_path.name}.py"  # pytest keeps modules by name
    file.write_text(TEST_FILE.replace("REASONS", repr(reasons)))
    config = tmp_path / "pytest.ini"
    # Without the plugin that searches for garbage at the end of a session.
    options = "-p no:cacheprovider -p no:unraisableexception --import-mode=importlib"
    config.write_text(f"[pytest]\naddopts = {options}\n")
    recorder = Recorder()
    pytest.main(["-q", "-c", str(config), str(file)], plugins=[recorder])
    assert recorder.outcomes == outcomes


def test_expected_failure_of_no_check_is_an_error():
    with pytest.raises(ValueError, match=r"\['A3'\]; the checks are A1, A2"):
        parametrize_checks(CHECKS, expected_failures={"A3": "gone"})


def test_an_expected_failure_may_be_that_of_one_subject():
    checks = [Check("A1", "holds", passing, "x"), Check("A1", "holds", passing, "y")]

    def marked(reasons):
        (parameters,) = parametrize_checks(checks, expected_failures=reasons).args[1:]
        return {parameter.id: bool(parameter.marks) for parameter in parameters}

    assert marked({"x:A1": "known"}) == {"x:A1-holds": True, "y:A1-holds": False}
    assert marked({"A1": "known"}) == {"x:A1-holds": True, "y:A1-holds": True}
    with pytest.raises(ValueError, match=r"\['z:A1'\]; the checks are A1, x:A1, y:A1"):
        marked({"z:A1": "gone"})


def test_close_tensors_may_differ_by_rounding_only():
    values = torch.tensor([1.0, 1000.0])
    require_close(values * (1 + 1e-5), values, "values")
    for other in (values * 1.01, torch.tensor([1.5, 1000.0]), torch.tensor([torch.nan, 1000.0])):
        with pytest.raises(AssertionError, match="values: off by up to"):
            require_close(other, values, "values")
    with pytest.raises(AssertionError, match=r"values: shape \(1, 2\), expected \(2,\)"):
        require_close(values[None], values, "values")


def test_a_check_is_seeded_and_leaves_the_random_state_alone():
    drawn = []
    check = Check("A1", "draws", lambda: drawn.append(torch.rand(1).item()))
    state = torch.get_rng_state()
    check()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    check()
    assert drawn[0] == drawn[1]


def test_require_raises_with_its_message():
    require(True, "fine")
    with pytest.raises(AssertionError, match="not fine"):
        require(False, "not fine")

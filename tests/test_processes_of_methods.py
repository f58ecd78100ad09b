"""Every method learns in 2 and 3 processes what it learns in one."""

import pytest

from parity import processes


@pytest.mark.processes
def test_losses_gradients_and_state_do_not_depend_on_the_number_of_processes():
    chosen = processes.cases()
    found = zip(chosen, processes.measure(chosen), strict=True)
    assert {case.name: d for case, d in found if not max(d) <= processes.TOLERANCE} == {}

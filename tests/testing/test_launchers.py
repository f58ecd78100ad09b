import pytest

from lightly_core.benchmarking.local import LocalLauncher
from lightly_core.config.options.launchers import LocalArgs
from lightly_core.contracts import RowEnd
from lightly_core.testing import launcher_checks, parametrize_checks


def local(suite):
    return LocalLauncher(LocalArgs(rows_at_once=2), suite)


@pytest.mark.processes
@parametrize_checks(launcher_checks(local))
def test_local(check):
    check()


class Careless(LocalLauncher):
    """Returns an end that is not that of the row's process."""

    def __init__(self, config, suite):
        super().__init__(config, suite)
        self.jobs = []

    def submit(self, jobs):
        self.jobs = jobs

    def wait(self, seconds):
        ends, self.jobs = [RowEnd(job.name, 0) for job in self.jobs], []
        return ends


@pytest.mark.parametrize(
    ("code", "found"), [("R1", "has no result"), ("R2", "expected its exit code"), ("R4", "ended")]
)
def test_a_launcher_that_runs_nothing_is_found(code, found):
    checks = launcher_checks(lambda suite: Careless(LocalArgs(fork_rows=False), suite))
    (check,) = (check for check in checks if check.code == code)
    with pytest.raises(AssertionError, match=found):
        check()

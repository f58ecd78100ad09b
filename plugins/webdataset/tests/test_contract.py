import pytest

from lightly_core.testing import parametrize_checks, plugin_checks, source_checks

CHECKS = source_checks("webdataset")
#: It starts loader processes again and again. The first circle runs it for files behind URLs.
SLOW = "S3"


@pytest.mark.processes
@parametrize_checks(
    [*plugin_checks("webdataset"), *(check for check in CHECKS if check.code != SLOW)]
)
def test_contract(check):
    check()


@pytest.mark.processes
@parametrize_checks(check for check in CHECKS if check.code == SLOW)
def test_processes_and_workers(check):
    check()

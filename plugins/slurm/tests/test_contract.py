from lightly_core.testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("slurm"))
def test_contract(check):
    check()

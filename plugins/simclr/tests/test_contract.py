from lightly_core.testing import method_checks, parametrize_checks, plugin_checks


@parametrize_checks([*plugin_checks("simclr"), *method_checks("simclr")])
def test_contract(check):
    check()

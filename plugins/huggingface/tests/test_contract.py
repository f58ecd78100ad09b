from lightly_core.testing import parametrize_checks, plugin_checks, source_checks


@parametrize_checks([*plugin_checks("huggingface"), *source_checks("huggingface")])
def test_contract(check):
    check()

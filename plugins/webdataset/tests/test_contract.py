from lightly_core.testing import parametrize_checks, plugin_checks, source_checks


@parametrize_checks([*plugin_checks("webdataset"), *source_checks("webdataset")])
def test_contract(check):
    check()

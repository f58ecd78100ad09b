import pytest
from packaging.requirements import Requirement

from lightly_core.plugins.requirements import accepts, missing, normalize, requirement_name

VERSIONS = ["0.9", "1", "1.0.0", "1.0.1", "1.2+cpu", "1.10", "2.0rc1", "2.0.dev3", "2.0.post1", "2"]
REQUIREMENTS = [
    *("foo", "foo>=1.0", "foo>1", "foo <= 1.2", "foo<2", "foo==1.0", "foo!=1", "foo>=1,<1.10"),
    *("foo (>=1.0)", "foo[extra]>=1.2", "foo~=1.0", "foo==1.*", "foo===1.0.0"),
]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_agrees_with_packaging(requirement):
    specifier = Requirement(requirement).specifier
    expected = [specifier.contains(version, prereleases=True) for version in VERSIONS]
    assert [accepts(requirement, version) for version in VERSIONS] == expected


def test_a_marker_that_does_not_hold_accepts_everything():
    assert accepts("foo>=9; extra == 'all'", "1.0")
    assert not accepts("foo>=9; python_version >= '3'", "1.0")


def test_names():
    assert normalize("Light_ly.-Foo") == "light-ly-foo"
    assert requirement_name(" My_Lib[x]>=1") == "my-lib"
    with pytest.raises(ValueError, match="expected a requirement"):
        requirement_name(">=1")


def test_missing_tells_what_is_there_instead(sandbox):
    sandbox.method("acme-lib", "m", version="1.5")
    found = missing(["acme_lib>=1.5", "acme-lib>=2", "not-there>=1", "json"])
    assert found == [("acme-lib>=2", "1.5"), ("not-there>=1", None)]

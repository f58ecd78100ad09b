import pytest
from circles import first_checks

from lightly_core.contracts.capabilities import InputNormalization
from lightly_core.testing import ModelExample, parametrize_checks, plugin_checks

# The smallest one. `test_models` has the others.
EXAMPLES = [ModelExample("squeezenet1_1", capabilities=[InputNormalization])]


@pytest.mark.families
@parametrize_checks([*plugin_checks("torchvision"), *first_checks("torchvision", EXAMPLES)])
def test_contract(check):
    check()

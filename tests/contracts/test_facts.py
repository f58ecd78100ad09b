"""What plugins are told about a run or a network. None of them can change it for the others."""

from dataclasses import FrozenInstanceError, fields

import pytest

from lightly_core.contracts.format import ExportedNetwork, Preprocessing, Written
from lightly_core.contracts.huggingface import HuggingFaceModel
from lightly_core.contracts.logger import ExportedModel
from lightly_core.contracts.method import RunContext

FACTS = (RunContext, ExportedModel, Preprocessing, ExportedNetwork, Written, HuggingFaceModel)


@pytest.mark.parametrize("cls", FACTS)
def test_a_fact_cannot_be_changed(cls):
    for field in fields(cls):
        with pytest.raises(FrozenInstanceError):
            setattr(object.__new__(cls), field.name, None)

import pytest
import torch

from lightly_core.errors import ConfigError
from lightly_core.models.without_numbers import is_for_want_of_numbers


@pytest.mark.parametrize(
    "action",
    [lambda x: x.tolist(), lambda x: x.cpu(), lambda x: x.item(), torch.unique, torch.nonzero],
)
def test_what_torch_cannot_do_without_numbers_is_told_from_mistakes(action):
    with pytest.raises((RuntimeError, NotImplementedError)) as caught:
        action(torch.empty(1, device="meta"))
    assert is_for_want_of_numbers(caught.value)


def test_mistakes_are_none_of_it():
    assert not is_for_want_of_numbers(ValueError("the metadata are wrong"))
    assert not is_for_want_of_numbers(ConfigError("tensors on the meta device"))

"""When batch norms of a run are synchronised, and how."""

import logging
from types import SimpleNamespace

import pytest
from lightning.pytorch.plugins import TorchSyncBatchNorm
from torch import nn

from lightly_core.engine.sync_norms import SynchronisedNorms, norm_settings
from lightly_core.parts.sync_batch_norm import SyncBatchNorm

CASES = [
    # accelerator, processes, requested, whether a plugin uses torch's class, Lightning's argument
    ("cpu", 2, None, False, False),
    ("cpu", 2, True, False, False),
    ("cpu", 2, False, None, False),
    ("cpu", 1, True, None, False),
    ("cuda", 2, None, True, False),
    ("gpu", 8, True, True, False),
    ("gpu", 8, False, None, False),
    ("gpu", 1, None, None, False),
    ("tpu", 2, None, None, False),  # Lightning knows
    ("tpu", 2, True, None, True),
]


@pytest.mark.parametrize(("accelerator", "processes", "requested", "with_torch", "passed"), CASES)
def test_norms_are_synchronised_among_several_processes_unless_the_user_objects(
    accelerator, processes, requested, with_torch, passed
):
    run = SimpleNamespace(accelerator=accelerator)
    resolved = SimpleNamespace(run=run, world_size=processes)
    plugins, argument = norm_settings(resolved, requested, given=[object()])
    assert [plugin.with_torch for plugin in plugins] == ([] if with_torch is None else [with_torch])
    assert argument is passed


def test_a_plugin_of_the_user_takes_precedence():
    resolved = SimpleNamespace(run=SimpleNamespace(accelerator="cpu"), world_size=2)
    assert norm_settings(resolved, None, [TorchSyncBatchNorm()]) == ([], False)


class OwnNorm(nn.BatchNorm2d):
    def forward(self, x):
        return x


def test_norms_that_stay_as_they_are_are_named(caplog):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(OwnNorm(3)), OwnNorm(3))
    norms = SynchronisedNorms(with_torch=False)
    with caplog.at_level(logging.WARNING):
        assert norms.apply(model) is model
    (record,) = caplog.records
    assert "2 batch norms of the class OwnNorm" in record.getMessage()
    assert "The first is 1.0." in record.getMessage()
    assert type(model[0]) is SyncBatchNorm
    assert norms.revert(model) is model
    assert type(model[0]) is nn.BatchNorm2d

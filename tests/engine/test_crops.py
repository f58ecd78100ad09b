"""A method that needs crops gets the crop of each view."""

import pytest
import torch

from lightly_core.config.options.requires import Requires
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target


@pytest.fixture
def seen(monkeypatch):
    """Crops of all batches that a method was given; it asks for them."""
    record = get_plugins().catalog.get("method", "simclr")
    method, config = load_target(record), load_config(record)
    batches, step = [], method.training_step
    monkeypatch.setattr(config, "requires", Requires(crops=True))
    monkeypatch.setattr(
        method, "training_step", lambda *args: (batches.append(args[1].crops), step(*args))[1]
    )
    return batches


@pytest.mark.slow
def test_crops_reach_the_method_equally_on_both_ways(seen, pretrain, short_run, tmp_path):
    for kept in (True, False):
        pretrain(**short_run(out=tmp_path / str(kept), epochs=1, in_memory=kept))
    assert len(seen) == 6
    for fast, slow in zip(seen[:3], seen[3:], strict=True):
        assert [crop.shape for crop in fast] == [(8, 6)] * 2
        assert all(map(torch.equal, fast, slow))
        assert not torch.equal(fast[0], fast[1])


def test_a_transform_that_tells_nothing_is_refused(
    seen, pretrain, short_run, tmp_path, monkeypatch
):
    from lightly_core.data.views import two_stage

    class Silent(two_stage.TwoStageTransform):
        def __init__(self, args, **options):
            super().__init__(args)

    monkeypatch.setattr("lightly_core.engine.build.TwoStageTransform", Silent)
    with pytest.raises(ConfigError, match="'default' returned crops for 0 of 2 views"):
        pretrain(**short_run(out=tmp_path / "refused", in_memory=False))
    assert not (tmp_path / "refused").exists()

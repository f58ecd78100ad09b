"""The copy of the state that a checkpoint is written from."""

import pytest
import torch

from lightly_core.engine.snapshot import snapshot

pytestmark = pytest.mark.gpu


def test_a_snapshot_of_a_device_is_in_main_memory_and_as_small():
    whole = torch.arange(12.0, device="cuda")
    content = {"tied": [whole, whole], "views": (whole[3:6], whole.view(3, 4).T)}
    copied = snapshot(content)
    for name, tensors in content.items():
        for old, new in zip(tensors, copied[name], strict=True):
            assert new.device.type == "cpu"
            assert new.stride() == old.stride()
            assert torch.equal(new, old.cpu())
    parts = {tensor.untyped_storage().data_ptr() for part in copied.values() for tensor in part}
    assert len(parts) == 1

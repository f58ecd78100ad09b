"""Sharded tensors, compared with whole ones."""

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from lightly_core.parts.sharding import local, norms, sharded_like, whole
from lightly_core.testing import shared_pair


def tensors(dtype=torch.float64):
    """Rows that two processes share unevenly, a single row, and zeros."""
    generator = torch.Generator().manual_seed(0)
    random = [torch.randn(shape, generator=generator).to(dtype) for shape in ((5, 3), (1, 4))]
    return [*random, torch.zeros(2, 2, dtype=dtype)]


def sharded(rank):
    mesh = init_device_mesh("cpu", (2,))
    shards = [distribute_tensor(one, mesh, [Shard(0)]) for one in tensors()]
    again = [sharded_like(one, shard) for one, shard in zip(tensors(), shards, strict=True)]
    return {
        "rows": [len(rows) for rows in local(shards)],
        "norms": norms(shards, torch.float64),
        "whole": [whole(one) for one in again],
    }


@pytest.mark.processes
def test_shards_have_the_norms_of_whole_tensors_and_are_gathered_again():
    results = shared_pair().run(sharded)
    assert [result["rows"] for result in results] == [[3, 1, 1], [2, 0, 1]]
    expected = [(one**2).sum().sqrt() for one in tensors()]
    for result in results:
        torch.testing.assert_close(list(result["norms"]), expected, rtol=1e-14, atol=0)
        assert all(map(torch.equal, result["whole"], tensors()))

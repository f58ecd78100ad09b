import gc

import pytest

from lightly_core.data.loader import make_loader


class FrozenObjects:
    """How many objects the collector of a worker leaves alone."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return gc.get_freeze_count()


@pytest.mark.processes
def test_collectors_of_workers_leave_the_memory_of_the_run_alone():
    loader = make_loader(
        FrozenObjects(),
        list,
        num_workers=1,
        loader_args={"multiprocessing_context": "fork"},
    )
    gc.unfreeze()  # what the root conftest has frozen
    try:
        assert min(next(iter(loader))) > 10_000  # torch alone has ten times as many
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()

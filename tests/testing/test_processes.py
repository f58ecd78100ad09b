"""Functions that several processes run together, and what becomes of those that fail."""

import copy
import os
import sys
import time

import pytest
import torch
import torch.distributed as dist

from lightly_core.testing import (
    ProcessGroup,
    Training,
    shared_group,
    shared_pair,
    train_alone_and_together,
)

pytestmark = pytest.mark.processes


def summed(rank, values, factor):
    total = values.chunk(dist.get_world_size())[rank] * factor
    dist.all_reduce(total)
    return {"rank": rank, "process": os.getpid(), "total": total}


def fail(rank, how):
    """Fail in process 1, while process 0 waits for it."""
    print(f"words of {rank}")
    if rank == 1 and how == "raises":
        raise ValueError("a mistake")
    if rank == 1 and how == "dies":
        os._exit(3)
    if rank == 1 and how == "hangs":
        time.sleep(600)
    dist.barrier()


def test_both_processes_run_the_function_and_the_next_one_too():
    pair = shared_pair()
    for factor in (1, 3):
        results = pair.run(summed, torch.arange(4), factor)
        assert [result["rank"] for result in results] == [0, 1]
        for result in results:
            assert result["total"].tolist() == [2 * factor, 4 * factor]
        assert len({result["process"] for result in results} - {os.getpid()}) == 2
    again = pair.run(summed, torch.arange(4), 1)
    assert [result["process"] for result in again] == [result["process"] for result in results]


def test_groups_of_other_sizes_have_the_same_processes_and_one_more():
    processes = {}
    for size, total in ((2, [3, 5, 7]), (3, [6, 9]), (2, [3, 5, 7])):
        results = shared_group(size).run(summed, torch.arange(6), 1)
        assert [result["rank"] for result in results] == list(range(size))
        assert [result["total"].tolist() for result in results] == [total] * size
        for result in results:
            assert processes.setdefault(result["rank"], result["process"]) == result["process"]


FAILURES = [
    # Process 0 is not waited for.
    ("raises", 60, ["Process 0 did not answer in time", "ValueError: a mistake"]),
    ("dies", 60, ["Process 0 raised an error", "Process 1 ended with exit status 3"]),
    # Both end themselves with a traceback.
    ("hangs", 1, ["Process 0 ended with exit status 1", "in fail"]),
]


def test_a_failure_ends_the_call_with_the_output_of_both_and_the_next_call_works():
    with ProcessGroup() as pair:
        for how, seconds, expected in FAILURES:
            assert pair.run(summed, torch.arange(4), 1)[0]["total"].tolist() == [2, 4]
            with pytest.raises(RuntimeError) as error:
                pair.run(fail, how, seconds=seconds)
            for words in ("words of 0", "words of 1", *expected):
                assert words in str(error.value)


def test_a_failing_start_says_what_the_processes_said(monkeypatch):
    monkeypatch.setattr(sys, "path", [os.devnull])  # where the processes find no module
    with pytest.raises(RuntimeError, match=r"'start' failed(.|\n)*No module named 'lightly_core'"):
        ProcessGroup().run(summed, torch.arange(4), 1)


def test_only_functions_that_another_process_finds_are_taken():
    with pytest.raises(ValueError, match="top level"):
        ProcessGroup().run(lambda rank: rank)


def test_parity_compares_processes_with_one_and_names_what_differs():
    arguments = {"hidden_dim": 8, "output_dim": 4}
    (parity,) = train_alone_and_together({"any": Training("simclr", arguments)}).values()
    parity.check()
    assert max(parity.differences()) < 1e-10
    for part in ("losses", "gradients", "state"):
        changed = copy.deepcopy(parity)
        next(iter(changed.together[3][1][part].values())).add_(1e-3)
        with pytest.raises(AssertionError, match=f"{part} of .* with 3 processes"):
            changed.check()

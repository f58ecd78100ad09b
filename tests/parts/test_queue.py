import io
import pickle

import pytest
import torch

from lightly_core.parts.queue import FeatureQueue


def rows(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)[:, None].expand(-1, 2)


def contents(queue):
    return sorted(queue.rows()[:, 0].tolist())


def test_an_empty_queue_has_no_rows():
    queue = FeatureQueue(4, 2)
    assert queue.rows().shape == (0, 2)
    assert len(queue) == 0


def test_only_what_was_pushed_is_returned():
    queue = FeatureQueue(5, 2)
    queue.push(rows(1, 2))
    assert contents(queue) == [1, 2]
    queue.push(rows(3))
    assert contents(queue) == [1, 2, 3]
    assert len(queue) == 3


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 7, 11])
def test_the_newest_rows_are_kept_as_in_a_list(batch):
    queue, expected, number = FeatureQueue(5, 2), [], 0
    for _ in range(12):
        new = list(range(number, number + batch))
        number += batch
        queue.push(rows(*new))
        expected = (expected + new)[-5:]
        assert contents(queue) == expected


def test_rows_are_written_in_place():
    queue = FeatureQueue(3, 2)
    memory = queue.features.data_ptr()
    for number in range(5):
        queue.push(rows(number))
    assert queue.features.data_ptr() == memory == queue.rows().data_ptr()


def test_the_queue_holds_no_gradient():
    queue = FeatureQueue(3, 2)
    queue.push(rows(1, 2).clone().requires_grad_() * 2)
    assert not queue.rows().requires_grad


def test_other_number_formats_are_converted():
    queue = FeatureQueue(3, 2)
    queue.push(rows(1, 2).bfloat16())
    assert queue.rows().dtype == torch.float32


@pytest.mark.parametrize("pushed", [0, 2, 3, 4])
def test_a_loaded_queue_goes_on_exactly(pushed):
    queue = FeatureQueue(3, 2)
    for number in range(pushed):
        queue.push(rows(number))
    file = io.BytesIO()
    torch.save(queue.state_dict(), file)
    file.seek(0)
    fresh = FeatureQueue(3, 2)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(fresh.rows(), queue.rows())
    for one in (queue, fresh):
        one.push(rows(10, 11))
    assert torch.equal(fresh.rows(), queue.rows())


def test_loading_an_empty_queue_empties_a_full_one():
    queue = FeatureQueue(3, 2)
    queue.push(rows(1, 2, 3))
    queue.load_state_dict(FeatureQueue(3, 2).state_dict())
    assert len(queue) == 0


def test_a_queue_of_another_size_is_not_loaded():
    with pytest.raises(ValueError, match="4 x 2 numbers, expected 3 x 2"):
        FeatureQueue(3, 2).load_state_dict(FeatureQueue(4, 2).state_dict())


def test_a_loaded_queue_is_a_copy():
    queue, other = FeatureQueue(3, 2), FeatureQueue(3, 2)
    queue.push(rows(1))
    other.load_state_dict(queue.state_dict())
    queue.push(rows(2, 3, 4))
    assert contents(other) == [1]


def test_nothing_is_sent_to_other_processes_in_each_step():
    # That is what DistributedDataParallel does with buffers and parameters.
    queue = FeatureQueue(3, 2)
    assert not [*queue.buffers(), *queue.parameters()]


def test_the_rows_follow_what_is_pushed():
    queue = FeatureQueue(3, 2)
    queue.push(torch.empty(2, 2, device="meta"))
    assert queue.rows().device.type == "meta"


def test_it_can_be_pickled():
    queue = FeatureQueue(3, 2)
    queue.push(rows(1, 2))
    assert torch.equal(pickle.loads(pickle.dumps(queue)).rows(), queue.rows())


def test_no_value_is_read_from_the_device():
    # "meta" has no values to read.
    queue = FeatureQueue(3, 2).to("meta")
    for _ in range(3):
        queue.push(torch.empty(2, 2, device="meta"))
    assert queue.rows().shape == (3, 2)


def test_rows_of_all_processes_are_pushed(monkeypatch):
    def two_processes(x):
        return torch.cat([x, x + 10])

    monkeypatch.setattr("lightly_core.parts.queue.gather", two_processes)
    queue = FeatureQueue(5, 2)
    queue.push(rows(1, 2))
    assert contents(queue) == [1, 2, 11, 12]


@pytest.mark.parametrize(("size", "dim"), [(0, 2), (2, 0)])
def test_impossible_sizes_are_refused(size, dim):
    with pytest.raises(ValueError, match=f"size={size} and dim={dim}"):
        FeatureQueue(size, dim)


def test_held_rows_are_pushed_later_and_once():
    queue = FeatureQueue(5, 2)
    queue.hold(rows(1, 2))
    queue.hold(rows(3))
    assert len(queue) == 0
    queue.push_held()
    assert contents(queue) == [1, 2, 3]
    queue.push_held()
    assert len(queue) == 3


def test_each_held_batch_is_gathered_by_itself(monkeypatch):
    # Otherwise the order in the queue would depend on the number of processes.
    monkeypatch.setattr("lightly_core.parts.queue.gather", lambda x: torch.cat([x, x + 10]))
    queue = FeatureQueue(8, 2)
    queue.hold(rows(1, 2))
    queue.hold(rows(3))
    queue.push_held()
    assert queue.rows()[:, 0].tolist() == [1, 2, 11, 12, 3, 13]


def test_held_rows_have_no_gradient():
    queue = FeatureQueue(3, 2)
    queue.hold(rows(1).clone().requires_grad_() * 2)
    assert not queue._held[0].requires_grad


def test_rows_can_be_asked_for_on_a_device():
    queue = FeatureQueue(3, 2)
    assert queue.rows(torch.device("meta")).device.type == "meta"
    assert queue.features.device.type == "meta"


def unit_rows(*angles):
    angle = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_the_nearest_row_is_the_most_similar_one():
    queue = FeatureQueue(4, 2)
    queue.push(unit_rows(0.0, 1.0, 2.0))
    nearest = queue.nearest(unit_rows(1.9, 0.4, 1.1))
    torch.testing.assert_close(nearest, queue.rows()[[2, 0, 1]].double())


def test_rows_that_were_not_pushed_are_no_neighbours():
    queue = FeatureQueue(4, 2)
    queue.push(unit_rows(1.0))
    # Unused places hold zeros, which would be nearer.
    torch.testing.assert_close(queue.nearest(-unit_rows(1.0)), queue.rows().double())


def test_a_neighbour_is_a_copy_without_gradient():
    queue = FeatureQueue(1, 2)
    queue.push(unit_rows(1.0))
    nearest = queue.nearest(unit_rows(0.9).requires_grad_())
    before = nearest.clone()
    queue.push(unit_rows(2.0))
    assert torch.equal(nearest, before)
    assert not nearest.requires_grad


def test_in_an_empty_queue_each_row_is_its_own_neighbour():
    x = unit_rows(0.0, 1.0).requires_grad_()
    nearest = FeatureQueue(4, 2).nearest(x)
    assert torch.equal(nearest, x)
    assert not nearest.requires_grad

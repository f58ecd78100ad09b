import pickle

import pytest
import torch

from lightly_core.config.options.transform import TransformArgs
from lightly_core.data.views import parameters
from lightly_core.data.views.buffers import Buffers
from lightly_core.data.views.two_stage import TwoStageTransform


def test_memory_is_used_again_once_nobody_holds_the_result():
    buffers = Buffers()
    first = torch.from_numpy(buffers.take((2, 3)))
    view = first[1:].view(3)  # shares the memory
    address = first.data_ptr()
    del first
    second = torch.from_numpy(buffers.take((2, 3)))
    assert second.data_ptr() != address
    del view
    third = torch.from_numpy(buffers.take((3, 2)))
    assert third.data_ptr() == address
    assert third.shape == (3, 2)


def test_a_result_that_a_gradient_needs_is_not_overwritten():
    buffers = Buffers()
    weight = torch.ones(4, requires_grad=True)
    loss = (torch.from_numpy(buffers.take((4,))).fill_(3) * weight).sum()
    torch.from_numpy(buffers.take((4,))).fill_(5)
    loss.backward()
    assert weight.grad.tolist() == [3] * 4


def test_only_a_few_arrays_are_kept_and_only_of_the_size_asked_for():
    buffers = Buffers(most=2)
    held = [buffers.take((size,)) for size in (5, 6, 7)]
    addresses = [array.ctypes.data for array in held]
    while held:
        del held[0]
    assert sorted(len(free) for free in buffers._free) == [6, 7]
    assert buffers.take((7,)).ctypes.data == addresses[2]


def test_copies_for_other_processes_have_no_memory():
    buffers = Buffers(most=3)
    buffers.take((1000,))
    assert buffers._free
    copy = pickle.loads(pickle.dumps(buffers))
    assert (copy._most, copy._free) == (3, [])


def test_a_result_may_outlive_its_buffers():
    buffers = Buffers()
    result = torch.from_numpy(buffers.take((4,))).fill_(2)
    del buffers
    assert result.tolist() == [2] * 4
    del result


def test_two_batches_of_a_transform_do_not_share_memory():
    pytest.importorskip("cv2", reason="OpenCV is an extra")
    transform = TwoStageTransform(TransformArgs(image_size=64))
    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    dark = pixels.to(memory_format=torch.channels_last)
    vectors = torch.from_numpy(parameters.neutral()).repeat(2, 1)
    (first,) = transform.views([dark], [vectors])
    before = first.clone()
    (second,) = transform.views([dark + 255], [vectors])
    assert torch.equal(first, before)
    assert not torch.equal(first, second)

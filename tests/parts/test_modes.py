import pytest
import torch
from torch import nn

from lightly_core.parts.ema import EmaTeacher
from lightly_core.parts.modes import in_evaluation, modes_of, set_modes, training_modes


def network():
    stage = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    return nn.Sequential(stage, nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))


class Merged(nn.Module):
    """Holds more than the flag: as adapters that are merged in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.merged = False

    def train(self, mode=True):
        self.merged = not mode
        return super().train(mode)


def test_modes_are_given_back_part_by_part_with_what_they_hold():
    net = nn.Sequential(network(), Merged(), Merged())
    net[0][0][1].eval()
    net[2].eval()
    before = modes_of(net)
    net.eval()
    assert net[1].merged
    set_modes(net, before)
    assert modes_of(net) == before
    assert (net[1].merged, net[2].merged) == (False, True)


def test_a_part_in_evaluation_mode_keeps_it():
    net = network()
    net[0][1].eval()
    assert training_modes(net) == {**dict.fromkeys(modes_of(net), True), "0.1": False}


def test_a_whole_in_evaluation_mode_is_trained_but_for_frozen_parts():
    net = network().eval()
    net[0].requires_grad_(False)
    net[1][1].requires_grad_(False)
    still = [path for path, mode in training_modes(net).items() if not mode]
    assert still == ["0", "0.0", "0.1", "0.2", "1.1"]


def test_a_whole_in_evaluation_mode_may_be_held_by_a_new_module():
    held = nn.Sequential(network().eval())
    assert in_evaluation(held)
    assert all(training_modes(held).values())


@pytest.mark.parametrize("mode", ["train", "batch_norm", "eval"])
def test_an_average_teacher_keeps_frozen_norms_frozen(mode):
    net = network()
    net[0][1].eval()
    teacher = EmaTeacher({"net": net}, mode=mode)
    for _ in range(2):  # as it is made, and after evaluation in between
        modes = modes_of(teacher["net"])
        assert modes["0.1"] is False
        assert modes["1.1"] is (mode != "eval")
        assert modes["0.2"] is (mode == "train")
        teacher.eval()
        teacher.train()
    assert torch.equal(teacher["net"][0][1].running_mean, torch.zeros(4))

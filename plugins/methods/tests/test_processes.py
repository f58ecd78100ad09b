"""Two processes with half of the batch each learn what one with the whole batch learns."""

from pathlib import Path

import pytest

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.testing import Training, shared_pair, train_alone_and_together

METHODS = read_toml(Path(__file__).with_name("methods.toml"))
# A regulariser that outweighs the rest: the cross-entropy could hide an error.
HEAVY = ["msn", "pmsn"]
# Other ways through the same loss.
VARIANTS = {
    "frossl with few channels": ("frossl", {"output_dim": 4}),
    "intl of channels": ("intl", {"whitening": "channels", "output_dim": 4}),
    "wmse in one piece": ("wmse", {"whitening_size": 8}),
    # A queue that wraps in the third step, both directions, the other negatives.
    "mocov2 symmetric": ("mocov2", {"symmetric": True}),
    "nnclr all": ("nnclr", {"negatives": "all", "queue_size": 12}),
    "densecl symmetric": ("densecl", {"symmetric": True, "grid_size": 3}),
}


def all_trainings():
    for name, small in METHODS.items():
        backbone, num_steps = small.get("backbone", "conv"), small.get("num_steps", 3)
        yield name, Training(name, small["args"], backbone, num_steps)
    for name in HEAVY:
        args = {**METHODS[name]["args"], "regularization_weight": 1e3}
        yield f"{name} regularised", Training(name, args, "tokens")
    for title, (name, changes) in VARIANTS.items():
        yield title, Training(name, {**METHODS[name]["args"], **changes})


TRAININGS = dict(all_trainings())


@pytest.mark.processes
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_learn_what_one_does(name):
    train_alone_and_together({name: TRAININGS[name]}, shared_pair())[name].check()

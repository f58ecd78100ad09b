"""Every method in 2 and 3 processes, compared with one process."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lightly_core.config.options.settings import PythonObject
from lightly_core.testing.parity import Differences, Training, train_alone_and_together

# Small settings of every method are shared with the tests.
sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
from small_methods import TOKENS, all_methods, small_args

#: Largest allowed difference of losses, gradients and state.
TOLERANCE = 1e-8

_GROUPS = "the groups of `key_groups` consist of images of one process; measured with one group"
_KOLEO = "KoLeo searches neighbours in one process, as in the paper; measured without it"
_MIXUP = "mixup blends images of one process; measured without it"

#: Options without which random numbers or images of one process matter, with the reason.
_LOCAL: dict[str, tuple[dict[str, object], str]] = {
    "mocov2": ({"key_groups": 1}, _GROUPS),
    "densecl": ({"key_groups": 1}, _GROUPS),
    "dinov2": ({"koleo_loss_weight": 0.0}, _KOLEO),
    "dinov31": ({"koleo_loss_weight": 0.0}, _KOLEO),
    "distillation": ({"mixup": False}, _MIXUP),
    "distillationv1": ({"mixup": False}, _MIXUP),
    "distillationv2": ({"mixup": False}, _MIXUP),
    "distillationv3": ({"mixup": False}, _MIXUP),
}

#: Optimizer steps, where two are too few.
_NUM_STEPS = {
    "deepclusterv2": 12,  # the first clustering comes after an epoch of ten steps
}


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        method: Name of the method.
        options: Options besides those that make the method small.
        shown: Whether the page shows the options, because they select another form of the method.
        differs: What differs between numbers of processes by construction.
    """

    method: str
    options: Mapping[str, object] = field(default_factory=dict)
    shown: bool = False
    differs: str = ""

    @property
    def name(self) -> str:
        """The method, with its options if they are shown."""
        return f"{self.method} {self.what}".strip()

    @property
    def what(self) -> str:
        """The options that are shown, as on the command line."""
        words = (f"{key}={value}".lower() for key, value in self.options.items())
        return " ".join(words) if self.shown else ""

    def training(self) -> Training:
        """Return the settings of the training."""
        # The teacher of distillation has random weights.
        torch.manual_seed(zlib.crc32(self.method.encode()))
        args = {**small_args(self.method), **self.options}
        if "teacher" in args:
            args["teacher"] = PythonObject(args["teacher"].double())
        backbone = "tokens" if self.method in TOKENS else "conv"
        return Training(self.method, args, backbone, _NUM_STEPS.get(self.method, 2))


# Other forms of a method, which take other ways through its code.
_FORMS: tuple[tuple[str, dict[str, object]], ...] = (
    # With the default weight the cross-entropy would hide an error of the regulariser.
    ("msn", {"regularization_weight": 1e3}),
    ("pmsn", {"regularization_weight": 1e3}),
    ("frossl", {"output_dim": 4}),
    ("intl", {"whitening": "channels", "output_dim": 4}),
    ("wmse", {"whitening_size": 12}),
    ("mocov2", {"symmetric": True}),
    ("nnclr", {"negatives": "all", "queue_size": 16}),
    ("densecl", {"symmetric": True, "grid_size": 3}),
    ("dino", {"centering": "sinkhorn"}),
    ("dino", {"batch_norm": True}),
    ("ibot", {"anchor_weight": 1.0}),
    ("dinov3", {"centering": "softmax"}),
    ("distillationv3", {"queue_size": 20}),
)


def cases(only: Sequence[str] = ()) -> list[Case]:
    """Return the cases of all registered methods, or of some."""
    found = []
    for method in all_methods():
        options, reason = _LOCAL.get(method, ({}, ""))
        found.append(Case(method, options, differs=reason))
        found += [
            Case(method, {**form, **options}, shown=True) for name, form in _FORMS if name == method
        ]
    return [case for case in found if not only or case.method in only]


def measure(chosen: Sequence[Case]) -> list[Differences]:
    """Train the cases in 1, 2 and 3 processes and return their largest differences."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # weights are initialised in float32, as in a run
    try:
        parities = train_alone_and_together({case.name: case.training() for case in chosen})
    finally:
        torch.set_default_dtype(before)
    return [parities[case.name].differences() for case in chosen]

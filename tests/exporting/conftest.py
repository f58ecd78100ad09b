import sys
import types

import pytest
import torch
from torch import nn


@pytest.fixture
def zoo(monkeypatch):
    """A library ``zoo`` with modules in ``zoo.nets``; `zoo.ran` lists what of its code was run."""
    nets = types.ModuleType("zoo.nets")
    ran = []

    class Block(nn.Module):
        def __init__(self, width=2):
            ran.append("Block.__init__")
            super().__init__()
            self.linear = nn.Linear(width, width)
            self.act = nn.functional.relu

    class Net(nn.Module):
        def __init__(self):
            ran.append("Net.__init__")
            super().__init__()
            self.blocks = nn.Sequential(Block(), Block())
            self.norm = nn.BatchNorm1d(2)
            self.scale = nn.Parameter(torch.ones(3))
            self.register_buffer("table", torch.arange(4))
            self.register_buffer("grid", torch.arange(5), persistent=False)
            self.register_parameter("nothing", None)
            self.names = {0: "cat"}

        def __setstate__(self, state):
            ran.append("Net.__setstate__")
            super().__setstate__(state)

    class Greedy:
        """Its constructor runs when it is unpickled."""

        def __init__(self, *args):
            ran.append("Greedy.__init__")

        def __reduce__(self):
            return type(self), ("anything",)

    def detonate(*args):
        ran.append("detonate")

    for thing in (Block, Net, Greedy, detonate):
        thing.__module__, thing.__qualname__ = "zoo.nets", thing.__name__
        setattr(nets, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, "zoo", types.ModuleType("zoo"))
    monkeypatch.setitem(sys.modules, "zoo.nets", nets)
    nets.ran = ran
    return nets


@pytest.fixture
def call():
    """Make an object that calls a function when it is unpickled."""

    class Call:
        def __init__(self, function, *args):
            self.call = (function, args)

        def __reduce__(self):
            return self.call

    return Call

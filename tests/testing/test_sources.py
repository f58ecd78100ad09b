"""The checks of data sources: a good one passes, and each check notices what it is there for."""

import os
import sys
import types

import numpy as np
import pytest
from attrs import define

from lightly_core.contracts import Labels, SourceLibrary
from lightly_core.data.encoded import EncodedSource
from lightly_core.plugins import discovery
from lightly_core.plugins.records import SourceRecord
from lightly_core.testing import source_checks


@define(frozen=True, kw_only=True)
class NoOptions:
    pass


class Pictures(EncodedSource):
    """The files of a folder, in the order of their numbers."""

    def __init__(self, folder, request):
        super().__init__(request)
        found = [(name, label) for label in os.listdir(folder) for name in inside(folder, label)]
        self.files = sorted((name, f"{folder}/{label}/{name}", label) for name, label in found)

    def __len__(self):
        return len(self.files)

    def name(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.files[index][0]

    def read(self, index):
        with open(self.files[index][1], "rb") as file:
            return file.read()

    def labels(self):
        labels = [label for _, _, label in self.files]
        classes = sorted(set(labels))
        targets = np.asarray([classes.index(label) for label in labels])
        return Labels(targets, tuple(classes), "folders")


def inside(folder, label):
    return os.listdir(f"{folder}/{label}")


class Library(SourceLibrary):
    source = Pictures

    def open(self, places, options, request):
        return self.source(places[0], request)

    def example(self, folder, images):
        for image in images:
            path = folder / image.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(image.data)
        return f"pics:{folder}"


class Fewer(Pictures):
    def __len__(self):
        return len(self.files) - 1


class NoEnd(Pictures):
    def name(self, index):
        return self.files[index][0]


class Shifted(Pictures):
    def read(self, index):
        return super().read((index + 1) % len(self))


class Forgetful(Pictures):
    """Its order changes each time it is opened."""

    opened = 0

    def __init__(self, folder, request):
        super().__init__(folder, request)
        Forgetful.opened += 1
        self.number = Forgetful.opened

    def order(self, seed, epoch):
        return np.random.default_rng([seed, epoch, self.number]).permutation(len(self))


class Same(Pictures):
    def order(self, seed, epoch):
        return np.arange(len(self))


class Repeating(Pictures):
    def order(self, seed, epoch):
        return np.arange(len(self)) // 2


class Stream(Pictures):
    """It only goes forward, whatever is asked for."""

    place = -1

    def read(self, index):
        self.place += 1
        return super().read(self.place % len(self))


class Failing(Pictures):
    """It shows something for what cannot be read."""

    def read(self, index):
        data = super().read(index)
        return data if data[:4] == b"\x89PNG" else super().read(0)


class Mislabelled(Pictures):
    def labels(self):
        labels = super().labels()
        return Labels(labels.targets[::-1], labels.classes, labels.origin)


class Opened(Pictures):
    def read(self, index):
        self.file = open(self.files[index][1], "rb")  # noqa: SIM115 - what a copy cannot have
        return self.file.read()


@pytest.fixture
def case(monkeypatch):
    """Return a function that gives the checks of a source of this class."""
    module = types.ModuleType("picsplugin")
    module.Library, module.NoOptions = Library, NoOptions
    module.problems = lambda places, options: []
    monkeypatch.setitem(sys.modules, "picsplugin", module)
    discovery.configure()
    catalog = discovery.get_plugins().catalog
    with catalog.registering(plugin="pics", distribution="pics", root="picsplugin"):
        catalog.add(
            SourceRecord(
                name="pics",
                target="picsplugin:Library",
                config="picsplugin:NoOptions",
                check="picsplugin:problems",
                summary="Pictures.",
                schemes=("pics",),
            )
        )

    def checks(cls):
        monkeypatch.setattr(Library, "source", cls)
        return {check.code: check for check in source_checks("pics")}

    yield checks
    discovery.configure()


@pytest.mark.slow
def test_a_good_source_has_no_mistake(case):
    for check in case(Pictures).values():
        check()


@pytest.mark.parametrize(
    ("cls", "code", "words"),
    [
        (Fewer, "S1", "35 images, expected 36"),
        (NoEnd, "S1", "raises no IndexError"),
        (Shifted, "S2", "not those of the file"),
        (Repeating, "S3", "do not see each image once"),
        (Forgetful, "S4", "differs when the data are opened again"),
        (Same, "S4", "two epochs have the same order"),
        (Stream, "S5", "goes on at batch 2"),
        (Failing, "S6", "list of unreadable images is"),
        (Mislabelled, "S7", "classes of images"),
        (Opened, "S8", "pickle"),
    ],
)
def test_a_mistake_is_found(case, cls, code, words):
    with pytest.raises(Exception, match=words):
        case(cls)[code]()


def test_a_text_that_is_not_checked_is_found(case, monkeypatch):
    checks = case(Pictures)
    monkeypatch.setattr("lightly_core.testing.sources.data_problems", lambda data: [])
    with pytest.raises(AssertionError, match="unknown option is accepted"):
        checks["S9"]()

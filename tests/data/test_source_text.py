"""Texts that name data sources, with a source of a plugin that exists in this file only."""

import sys
import types

import pytest
from attrs import define, field

from lightly_core.config.options.settings import RunConfig
from lightly_core.contracts import ImageSource, SourceLibrary
from lightly_core.data.check import check_data, data_problems, identity
from lightly_core.data.source_text import named_source
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError
from lightly_core.plugins import discovery
from lightly_core.plugins.records import SourceRecord


@define(frozen=True, kw_only=True)
class Options:
    size: int = field(default=3)
    words: str = field(default="")


class Numbers(ImageSource):
    def __init__(self, places, options, request):
        self.opened = places, options, request

    def __len__(self):
        return self.opened[1].size

    def name(self, index):
        return str(index)

    def load(self, index):
        raise OSError("no image")


class Library(SourceLibrary):
    def open(self, places, options, request):
        return Numbers(places, options, request)

    def example(self, folder, images):
        return "nums:x"


def problems(places, options):
    return [f"no '{place}'" for place in places if place.startswith("missing")]


@pytest.fixture(autouse=True)
def plugin(monkeypatch):
    """A data source ``nums:`` that also opens files with the ending ``.num``."""
    module = types.ModuleType("numsplugin")
    module.Library, module.Options, module.problems = Library, Options, problems
    monkeypatch.setitem(sys.modules, "numsplugin", module)
    discovery.configure()
    catalog = discovery.get_plugins().catalog
    with catalog.registering(plugin="nums", distribution="nums", root="numsplugin"):
        catalog.add(
            SourceRecord(
                name="nums",
                target="numsplugin:Library",
                config="numsplugin:Options",
                check="numsplugin:problems",
                summary="Numbers.",
                schemes=("nums",),
                suffixes=(".num",),
            )
        )
    yield catalog
    discovery.configure()


@pytest.mark.parametrize(
    ("text", "place", "options"),
    [
        ("nums:a/b", "a/b", Options()),
        ("NUMS:a/b?size=5", "a/b", Options(size=5)),
        ("nums:a?size=5&words=b%26c", "a", Options(size=5, words="b&c")),
        ("nums:a?b", "a?b", Options()),  # no option: part of the name
        ("nums:https://host/a?token=1#size=4", "https://host/a?token=1", Options(size=4)),
        ("nums:pipe:cat 'a?b=c'#size=4", "pipe:cat 'a?b=c'", Options(size=4)),
        ("some/where/a.num?size=2", "some/where/a.num", Options(size=2)),
        ("C:/a.num", "C:/a.num", Options()),
    ],
)
def test_a_text_is_split_into_place_and_options(text, place, options):
    named = named_source([text])
    assert (named.places, named.options) == ((place,), options)


def test_a_source_gets_its_places_and_how_images_are_wanted():
    source = open_source(["nums:a?size=7", "nums:b?size=7"], num_channels=1, min_side=9)
    places, options, request = source.opened
    assert (places, options.size, len(source)) == (("a", "b"), 7, 7)
    assert (request.num_channels, request.min_side, request.value_range) == (1, 9, None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("nums:a?sise=4", "unknown key 'sise', did you mean 'size'"),
        ("nums:a?size=many", "options of 'nums:a?size=many'.size: expected int, got 'many'"),
        ("nums:a?size=1&size=2", "'size' is set twice"),
        ("nums:missing", "no 'missing'"),
        (["nums:a", "images"], "'images' cannot be in a list with texts of the data source 'nums'"),
        (["nums:a?size=1", "nums:b"], "different options"),
        ("num://a", "unknown scheme 'num:' of 'num://a', did you mean 'nums:'?"),
    ],
)
def test_a_mistake_is_found_before_anything_is_opened(data, words):
    (problem,) = data_problems(data)
    assert words in problem
    with pytest.raises(DataError):
        open_source(data)


def test_a_setting_with_a_source_is_checked_like_others():
    run = RunConfig(out="out", model="m/n", data="nums:a", val_data="nums:a")
    assert "the same images" in check_data(run)[0]
    assert identity(["nums:a", "nums:b"]) == identity(["nums:b", "nums:a"])


def test_a_plugin_of_this_project_that_is_missing_is_named(plugin, tmp_path):
    for record in plugin.records("source"):
        plugin.discard(record.plugin)
    (tmp_path / "a.tar").touch()
    for text in ("wds:a.tar", str(tmp_path / "a.tar"), "wds:https://host/a.tar"):
        (problem,) = data_problems(text)
        assert "pip install lightly-webdataset" in problem
    (problem,) = data_problems("s3://bucket/a")
    assert "known: none is installed" in problem


def test_two_plugins_for_one_scheme_are_an_error_that_names_both(plugin):
    with plugin.registering(plugin="others", distribution="others", root="numsplugin"):
        plugin.add(
            SourceRecord(
                name="others",
                target="numsplugin:Library",
                config="numsplugin:Options",
                check="numsplugin:problems",
                summary="Numbers.",
                schemes=("nums",),
            )
        )
    with pytest.raises(Exception, match=r"'nums' is opened by .*nums.* and .*others"):
        data_problems("nums:a")

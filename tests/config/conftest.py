"""A catalog with one method and one model library that need nothing installed."""

import sys
import types
from typing import ClassVar, Literal

import pytest
from attrs import define, evolve, field
from attrs.validators import gt
from setting_places import without_places

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.resolve import resolve
from lightly_core.config.options.augmentations import RandomResizeArgs
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.optim import AdamWArgs
from lightly_core.config.options.requires import Requires, exactly
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.options.transform import MultiCropTransformArgs
from lightly_core.config.reading.load import load_settings
from lightly_core.errors import ConfigError
from lightly_core.plugins.builtin import register_builtin
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.records import MethodRecord, ModelsRecord


@define(frozen=True, kw_only=True)
class ToyConfig(MethodConfig):
    """Options of a made-up method."""

    target_steps: ClassVar[int] = 1000
    requires: ClassVar[Requires] = Requires(global_views=exactly(2))

    temperature: float = field(
        default=0.1, validator=gt(0), metadata={"help": "divisor of the similarities"}
    )
    momentum_start: float | Literal["auto"] = field(
        default="auto", metadata={"help": "first momentum", "aliases": ("teacher_momentum",)}
    )
    teacher: str | PythonObject = field(default="toy/a", metadata={"help": "teacher model"})
    teacher_url: str | None = field(default=None, metadata={"help": "weights of the teacher"})

    @classmethod
    def default_transform(cls):
        return MultiCropTransformArgs(random_resize=RandomResizeArgs(min_scale=0.2))

    @classmethod
    def default_optimizer(cls, name):
        base = super().default_optimizer(name)
        return evolve(base, lr=0.5) if isinstance(base, AdamWArgs) else base

    def resolve(self, facts):
        return evolve(self, momentum_start=0.99) if self.momentum_start == "auto" else self


@pytest.fixture
def toy_config():
    return ToyConfig


@pytest.fixture
def catalog(monkeypatch):
    module = types.ModuleType("toy_plugin")
    module.ToyConfig = ToyConfig
    monkeypatch.setitem(sys.modules, "toy_plugin", module)
    catalog = Catalog()
    register_builtin(catalog)
    with catalog.registering(plugin="toy", distribution="lightly-toy", root="toy_plugin"):
        catalog.add(
            MethodRecord(
                name="toy", target="toy_plugin:Toy", config="toy_plugin:ToyConfig", summary="Toy."
            )
        )
        catalog.add(
            MethodRecord(
                name="plaything",
                target="toy_plugin:Toy",
                config="toy_plugin:ToyConfig",
                alias_of="toy",
                summary="Toy.",
            )
        )
        catalog.add(
            ModelsRecord(name="toy", target="toy_plugin:Models", names=("a", "b"), summary="Toys.")
        )
    return catalog


@pytest.fixture
def load(catalog):
    """Load settings that are complete but for what the test adds."""

    def load(*pairs, config_file=None, checks=(), **arguments):
        complete = {"out": "out", "data": "images", "model": "toy/a", "method": "toy"}
        named = {pair.partition("=")[0] for pair in pairs}
        base = [f"{key}={value}" for key, value in complete.items() if key not in named]
        return load_settings(
            catalog=catalog,
            config_file=config_file,
            pairs=[*base, *pairs],
            arguments=arguments,
            checks=checks,
        )

    return load


@pytest.fixture
def placed_problems(load):
    """Return what `load` complains about, with the places of the settings."""

    def problems(*pairs, **arguments):
        with pytest.raises(ConfigError) as caught:
            load(*pairs, **arguments)
        return caught.value.problems

    return problems


@pytest.fixture
def problems(placed_problems):
    """Return what `load` complains about, without the places: all settings are given as words."""

    def problems(*pairs, **arguments):
        lines = placed_problems(*pairs, **arguments)
        return tuple(without_places(line) for line in lines)

    return problems


@pytest.fixture
def resolved(load):
    """Resolve settings on a machine without accelerators, for 1,000 images."""

    def resolved(*pairs, machine=None, images=1000, **arguments):
        return resolve(load(*pairs, **arguments), machine or Machine(cpus=4), images)

    return resolved

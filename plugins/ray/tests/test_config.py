import runpy
from pathlib import Path

import pytest

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError
from lightly_core.plugins.catalog import Catalog
from lightly_ray.config import RayArgs
from lightly_ray.launcher import RayLauncher

PLUGIN = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"address": "head"}, "HOST:PORT, ray://HOST:PORT or auto, got 'head'"),
        ({"num_gpus": 1.5}, "at most 1 or a whole number, got 1.5"),
        ({"num_cpus": -1}, "num_cpus"),
        ({"max_retries": -2}, "max_retries"),
        ({"resource_timeout": float("nan")}, "resource_timeout"),
    ],
)
def test_wrong_options_are_refused(given, expected):
    with pytest.raises(ConfigError, match=expected):
        structure(given, RayArgs, path="suite.launcher_args")


@pytest.mark.parametrize("address", ["auto", "head:6379", "ray://10.0.0.1:10001", None])
def test_addresses_of_clusters(address):
    assert structure({"address": address}, RayArgs, path="a").address == address


def test_a_row_sees_whole_devices():
    machine = RayLauncher.row_machine(RayArgs(num_cpus=0.5, num_gpus=0.25))
    assert (machine.cpus, machine.gpus) == (1, 1)
    machine = RayLauncher.row_machine(RayArgs(num_cpus=4, num_gpus=2))
    assert (machine.cpus, machine.gpus) == (4, 2)


def test_ray_is_named_the_same_everywhere():
    catalog = Catalog()
    register = runpy.run_path(str(PLUGIN / "src/lightly_ray/plugin.py"))["lightly_register"]
    with catalog.registering(plugin="ray", distribution="lightly-ray", root="lightly_ray"):
        register(catalog)
    extra = read_toml(PLUGIN / "pyproject.toml")["project"]["optional-dependencies"]["ray"]
    assert catalog.get("launcher", "ray").requires == tuple(extra)
    assert f'"{extra[0]}"' in (PLUGIN.parents[1] / "noxfile.py").read_text(encoding="utf-8")

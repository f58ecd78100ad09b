"""Which methods `strategy=fsdp2` takes."""

from small_methods import all_methods

from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config


def test_every_method_of_this_repository_has_been_compared_with_sharded_weights():
    catalog = get_plugins().catalog
    configs = {name: load_config(catalog.get("method", name)) for name in all_methods()}
    # Not inherited: what is compared is the method itself.
    assert [name for name, config in configs.items() if not vars(config).get("shardable")] == []

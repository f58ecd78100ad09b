import pytest
from torch import nn

from lightly_core.errors import ConfigError, PluginError, UnknownModelError
from lightly_core.models.wrapping import build_model, get_wrapped_model


def test_a_name_is_built_by_its_library(catalog, toy):
    built = build_model(
        "toy/net", catalog=catalog, num_input_channels=4, model_args={"num_classes": 7}
    )
    assert built.wrapper.get_model().conv.in_channels == 4
    assert built.wrapper.get_model().head.out_features == 7
    assert (built.name, built.short_name) == ("toy/net", "net")
    assert (built.model_args, built.num_input_channels) == ({"num_classes": 7}, 4)
    assert isinstance(built.library, toy.Library)


def test_a_wrapper_is_used_as_it_is(catalog, toy):
    wrapper = toy.Wrapper()
    built = build_model(wrapper, catalog=catalog)
    assert built.wrapper is wrapper
    assert (built.library, built.name, built.short_name) == (None, None, None)


def test_a_module_is_matched_by_the_package_of_its_base_class(catalog, toy):
    library_class = type("Base", (toy.Net,), {"__module__": "toynets.models.base"})
    module = type("Mine", (library_class,), {"__module__": "my_project"})()
    built = build_model(module, catalog=catalog)
    assert built.wrapper.get_model() is module
    assert isinstance(built.library, toy.Library)
    assert built.name is None


def test_a_longer_package_name_does_not_match(catalog, toy):
    module = type("Other", (toy.Net,), {"__module__": "toynets_extra.models"})()
    with pytest.raises(ConfigError, match="cannot find the features of a toynets_extra"):
        build_model(module, catalog=catalog)


def test_the_error_for_an_unknown_module_lists_what_is_missing_and_the_ways_out(catalog):
    class HalfWrapper(nn.Module):
        def forward_features(self, x):
            return {"features": x}

    with pytest.raises(ConfigError) as caught:
        build_model(HalfWrapper(), catalog=catalog)
    message = str(caught.value)
    assert "adding the methods forward_pool, feature_dim, get_model" in message
    assert "can be used: toynets" in message


def test_model_args_with_a_ready_module_are_refused(catalog, toy):
    with pytest.raises(ConfigError, match="got num_classes together with a ToyWrapper"):
        build_model(toy.Wrapper(), catalog=catalog, model_args={"num_classes": 3})


def test_a_class_instead_of_an_instance_is_explained(catalog, toy):
    with pytest.raises(ConfigError, match="pass an instance"):
        build_model(toy.Wrapper, catalog=catalog)


def test_a_wrapper_that_is_no_module_is_explained(catalog):
    class NoModule:
        def forward_features(self, x):
            return {}

    with pytest.raises(ConfigError, match=r"inherit from torch\.nn\.Module"):
        build_model(NoModule(), catalog=catalog)


def test_an_unknown_name_is_refused(catalog):
    with pytest.raises(UnknownModelError, match="did you mean 'net'"):
        build_model("toy/nett", catalog=catalog)


def test_a_target_that_is_no_library_blames_the_plugin(catalog):
    with pytest.raises(PluginError, match="toy-plugin"):
        build_model("broken/net", catalog=catalog)


def test_get_wrapped_model_takes_a_wrapper(toy):
    wrapper = toy.Wrapper()
    assert get_wrapped_model(wrapper) is wrapper

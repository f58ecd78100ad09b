import pytest
import torch
from acme_models.model import TinyNet

import lightly_core


def test_the_wide_network_is_wider():
    assert lightly_core.get_wrapped_model("acme/tinynet").feature_dim() == 64
    assert lightly_core.get_wrapped_model("acme/tinynet-wide").feature_dim() == 128


def test_model_args_and_channels_arrive():
    wrapper = lightly_core.get_wrapped_model("acme/tinynet", 5, {"width": 8, "depth": 3})
    assert wrapper.get_model().settings == {
        "num_channels": 5,
        "width": 8,
        "depth": 3,
        "num_classes": 10,
    }


@pytest.mark.parametrize("model_args", [{"dept": 3}, {"depth": 0}, {"depth": "deep"}])
def test_wrong_model_args_are_refused(model_args):
    with pytest.raises(lightly_core.ConfigError, match="acme/tinynet"):
        lightly_core.get_wrapped_model("acme/tinynet", model_args=model_args)


def test_a_network_of_the_user_is_understood():
    model = TinyNet(num_classes=3)
    assert lightly_core.get_wrapped_model(model).get_model() is model
    with pytest.raises(lightly_core.ConfigError, match="num_channels=4"):
        lightly_core.get_wrapped_model(model, num_input_channels=4)


def test_a_saved_network_gives_the_same_scores(tmp_path):
    model = TinyNet(width=4).eval()
    model.save(tmp_path / "model.pt")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(TinyNet.load(tmp_path / "model.pt").eval()(images), model(images))

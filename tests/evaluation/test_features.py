import copy

import pytest
import torch
from torch import nn

from lightly_core.data.dataset import RawBatch
from lightly_core.evaluation import features as features_module
from lightly_core.evaluation.features import extract_features
from lightly_core.testing.models import TinyConv


class Halve:
    """A second stage that can be recognised: uint8 to [0, 0.5]."""

    def views(self, pixels, parameters):
        return [view.float() / 510 for view in pixels]


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (10, 3, 16, 16), generator=generator, dtype=torch.uint8)
    chunks = zip(pixels.split(4), torch.arange(100, 110).split(4), strict=True)
    return [RawBatch([image], [torch.zeros(len(image), 0)], index) for image, index in chunks]


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = TinyConv()
    model(torch.rand(8, 3, 16, 16))  # running statistics that are not the initial ones
    return model


def test_features_are_those_of_a_plain_forward_in_order(model, batches):
    features, indices = extract_features(model, batches, Halve(), "cpu")
    pixels = torch.cat([batch.pixels[0] for batch in batches])
    model.eval()
    expected = model.get_model()(pixels.float() / 510).mean((2, 3)).detach()
    torch.testing.assert_close(features, expected)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert indices.tolist() == list(range(100, 110))


def test_a_cpu_takes_a_few_images_at_once_with_the_same_result(model, batches, monkeypatch):
    expected, _ = extract_features(model, batches, Halve(), "cpu")
    monkeypatch.setattr(features_module, "_CPU_VALUES", 3 * 3 * 16 * 16)
    sizes = []
    model.get_model().register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    features, _ = extract_features(model, batches, Halve(), "cpu")
    assert sizes == [3, 1, 3, 1, 2]  # of batches of 4, 4 and 2
    torch.testing.assert_close(features, expected)


def test_leaves_no_trace(model, batches):
    model.train()
    frozen = model.get_model()[1]
    frozen.eval()  # a part that its owner keeps in eval mode
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    loader = torch.utils.data.DataLoader(batches, batch_size=None)  # takes a seed when iterated
    random_state = torch.get_rng_state()

    extract_features(model, loader, Halve(), "cpu")

    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_modes_come_back_after_an_error(model, batches):
    class Broken:
        def views(self, pixels, parameters):
            raise RuntimeError("no views")

    model.train()
    with pytest.raises(RuntimeError, match="no views"):
        extract_features(model, batches, Broken(), "cpu")
    assert all(module.training for module in model.modules())


def test_autocast_computes_in_the_given_type_and_returns_float32(model, batches):
    seen = []
    model.get_model()[0][0].register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    features, _ = extract_features(model, batches, Halve(), "cpu", precision=torch.bfloat16)
    assert set(seen) == {torch.bfloat16}
    assert features.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_follow_the_type_of_the_weights(model, batches, dtype):
    features, _ = extract_features(model.to(dtype), batches, Halve(), "cpu")
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


def test_channels_last_reaches_the_model_and_changes_no_value(model, batches):
    layouts = []

    def note(module, inputs):
        layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    model.get_model().register_forward_pre_hook(note)
    features, _ = extract_features(model, batches, Halve(), "cpu", channels_last=True)
    plain, _ = extract_features(model, batches, Halve(), "cpu")
    assert layouts == [True] * 3 + [False] * 3
    torch.testing.assert_close(features, plain)


def test_batches_without_images_are_passed_over(model, batches):
    empty = RawBatch([batches[0].pixels[0][:0]], [torch.zeros(0, 0)], torch.arange(0))
    features, indices = extract_features(model, [empty, batches[0], empty], Halve(), "cpu")
    assert indices.tolist() == [100, 101, 102, 103]
    features, indices = extract_features(model, [empty], Halve(), "cpu")
    assert features.shape == (0, 32)
    assert indices.shape == (0,)


def test_model_without_weights_gets_float32(batches):
    class Mean(nn.Module):
        def feature_dim(self):
            return 3

        def forward_features(self, x):
            assert x.dtype == torch.float32
            return {"features": x}

        def forward_pool(self, x):
            return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    features, _ = extract_features(Mean(), batches, Halve(), "cpu")
    assert features.shape == (10, 3)

import pytest
import torch
from torch import nn

from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.errors import ConfigError
from lightly_core.methods import requirements
from lightly_core.methods.requirements import require_capability
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.records import ModelsRecord
from lightly_core.testing import TinyConv, TinyTokens


@pytest.fixture
def catalog(monkeypatch):
    """A catalog in place of what is installed."""
    catalog = Catalog()

    class Plugins:
        pass

    Plugins.catalog = catalog
    monkeypatch.setattr(requirements, "get_plugins", lambda: Plugins)
    return catalog


def add_library(catalog, name, **having):
    with catalog.registering(plugin=name, distribution=f"lightly-{name}", root="acme"):
        catalog.add(
            ModelsRecord(
                name=name, target="acme.lib:L", names=None, capabilities=having, summary="S."
            )
        )


@pytest.mark.parametrize("capability", [TokenModel, MultiScaleFeatures, ActivationCheckpointing])
def test_a_wrapper_with_the_methods_has_the_capability(capability):
    wrapper = TinyTokens()
    assert require_capability(wrapper, capability, needed_by="method 'ibot'") is wrapper


def test_the_error_lists_models_that_have_it(catalog):
    add_library(catalog, "zoo", tokens=["vit_a", "vit_b"], multi_scale=["unet"])
    add_library(catalog, "park", tokens=["vit_c"])
    with pytest.raises(ConfigError) as caught:
        require_capability(TinyConv(), TokenModel, needed_by="method 'ibot'")
    message = str(caught.value)
    assert message.startswith("method 'ibot' needs a model with patch tokens")
    assert "Sequential" in message
    assert message.endswith("models: park/vit_c, zoo/vit_a, zoo/vit_b")


def test_the_error_says_so_when_nothing_installed_has_it(catalog):
    add_library(catalog, "zoo", multi_scale=["unet"])
    with pytest.raises(ConfigError, match="no installed plugin has one"):
        require_capability(nn.Identity(), ActivationCheckpointing, needed_by="this")


@pytest.mark.slow
def test_activation_checkpointing_changes_no_loss(pretrain_twice):
    plain, checkpointed = pretrain_twice
    assert plain == checkpointed


@pytest.fixture
def pretrain_twice(tmp_path):
    """The losses of two short runs, without and with activation checkpointing."""
    import lightly_core

    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        wrapper = TinyTokens()
        result = lightly_core.pretrain(
            out=tmp_path / str(enabled),
            data="builtin:digits",
            model=wrapper,
            method="simclr",
            epochs=1,
            batch_size=256,
            precision="32-true",
            num_workers=0,
            transform_args={"image_size": 16},
            activation_checkpoint_args={"enabled": enabled},
            callbacks={"knn": None},
            trainer_args={"limit_train_batches": 2},
        )
        losses.append(result.metrics["train_loss"])
    return losses


def test_a_model_without_it_is_refused_before_anything_is_written(tmp_path):
    import lightly_core

    with pytest.raises(ConfigError, match=r"activation_checkpoint_args.enabled=true needs a model"):
        lightly_core.pretrain(
            out=tmp_path / "out",
            data="builtin:digits",
            model=TinyConv(),
            method="simclr",
            activation_checkpoint_args={"enabled": True},
        )
    assert not (tmp_path / "out").exists()

"""Where the network comes from: every way to name a trained one gives the same features."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import lightly_core
from lightly_core.testing.models import TinyConv


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(8):
        colour = rng.integers(60, 190, 3)
        pixels = colour + rng.integers(-60, 60, (24, 24, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def pretrain(images, tmp_path_factory):
    def pretrain(**changes):
        out = tmp_path_factory.mktemp("runs") / "run"
        settings = {
            "out": out,
            "data": images,
            "method": "simclr",
            "method_args": {"hidden_dim": 8, "output_dim": 4},
            "transform_args": {
                "image_size": 32,
                "normalize": {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)},
            },
            "epochs": 1,
            "batch_size": 4,
            "num_workers": 0,
            "accelerator": "cpu",
            "loggers": {"tensorboard": None},
            "optim_args": {"lr": 1e-3},  # so that features stay in a normal range
            "seed": 0,
        }
        lightly_core.pretrain(**{**settings, **changes})
        return out

    return pretrain


@pytest.fixture(scope="module")
def run(pretrain):
    """A run of a network by name whose constructor had arguments, without ``embed_dim``."""
    return pretrain(model="timm/test_resnet", model_args={"output_stride": 8})


@pytest.fixture(scope="module")
def embedded_run(pretrain):
    """A run of the user's own module, with ``embed_dim``."""
    torch.manual_seed(0)
    return pretrain(model=TinyConv(), embed_dim=6)


@pytest.fixture
def features(images, tmp_path):
    def features(**changes):
        out = tmp_path / "x.npz"
        settings = {"data": images, "out": out, "num_workers": 0, "accelerator": "cpu"}
        lightly_core.embed(**{**settings, **changes}, overwrite=True)
        return np.load(out)["embeddings"]

    return features


WAYS = {
    "safetensors": "exported_models/exported_last.safetensors",
    "pt": "exported_models/exported_last.pt",
    "ckpt": "checkpoints/last.ckpt",
}


def expected_features(run, images, wrapper):
    """The features of the exported file, computed without the room under test."""
    file = run / WAYS["pt"]
    wrapper.get_model().load_state_dict(torch.load(file, weights_only=True))
    wrapper.eval()
    pixels = [
        np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BICUBIC)) / 255
        for path in sorted(images.iterdir())
    ]
    normalised = (np.array(pixels) - (0.4, 0.5, 0.6)) / (0.2, 0.3, 0.2)
    batch = torch.from_numpy(normalised.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        pooled = wrapper.forward_pool(wrapper.forward_features(batch))["pooled_features"]
    return pooled.flatten(1).numpy()


@pytest.mark.slow
def test_every_way_to_a_run_gives_the_features_of_its_export(run, images, features):
    wrapper = lightly_core.get_wrapped_model("timm/test_resnet", model_args={"output_stride": 8})
    expected = expected_features(run, images, wrapper)
    ways = [
        {"model": run},
        *({"model": run / file} for file in WAYS.values()),
        *(
            {"model": "timm/test_resnet", "checkpoint": run / file}
            for file in (WAYS["safetensors"], WAYS["pt"], WAYS["ckpt"])
        ),
        {"model": wrapper, "checkpoint": run / WAYS["safetensors"]},
        {"model": wrapper.get_model(), "checkpoint": run / WAYS["ckpt"]},
    ]
    for way in ways:
        np.testing.assert_allclose(
            features(**way), expected, rtol=1e-4, atol=1e-5, err_msg=str(way)
        )


@pytest.mark.slow
def test_a_plain_state_dict_takes_its_normalisation_from_the_wrapper(run, images, features):
    file = run.parent / "plain.pth"
    torch.save(torch.load(run / WAYS["pt"], weights_only=True), file)
    same = {"model_args": {"output_stride": 8}, "image_size": 32}
    given = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)}
    by_name = {"model": "timm/test_resnet", "checkpoint": file, **same}
    expected = features(model=run)
    np.testing.assert_allclose(features(**by_name, **given), expected, rtol=1e-4, atol=1e-5)
    own = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    np.testing.assert_array_equal(features(**by_name), features(**by_name, **own))


@pytest.mark.slow
def test_the_layer_of_embed_dim_is_applied(embedded_run, images, features):
    backbone = expected_features(embedded_run, images, TinyConv())
    layer = load_file(embedded_run / "exported_models" / "exported_last.embedding.safetensors")
    expected = backbone @ layer["weight"].numpy().T + layer["bias"].numpy()
    for file in WAYS.values():
        found = features(model=TinyConv(), checkpoint=embedded_run / file)
        assert found.shape == (8, 6)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_layer_of_embed_dim_of_a_network_by_name(pretrain, features):
    run = pretrain(model="timm/test_vit", transform_args={"image_size": 32}, embed_dim=6)
    ways = [{"model": run}, *({"model": run / file} for file in WAYS.values())]
    found = [features(**way) for way in ways]
    assert found[0].shape == (8, 6)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4, atol=1e-5)
    tokens = features(model=run, features="class_token")
    maps = features(model=run, features="patch")
    assert tokens.shape == (8, 6)
    assert maps.shape[:2] == (8, 6)


@pytest.mark.slow
def test_settings_overrule_what_the_file_says(run, features):
    stored = features(model=run)
    assert not np.allclose(features(model=run, mean=(0, 0, 0), std=(1, 1, 1)), stored, rtol=1e-2)
    assert features(model=run, image_size=48, features="patch").shape[2:] == (6, 6)


@pytest.mark.slow
def test_a_half_of_the_precision_gives_nearly_the_same_in_float32(run, features):
    exact, rough = features(model=run), features(model=run, precision="bf16-mixed")
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, rtol=0.1, atol=0.1 * np.abs(exact).mean())


# ----------------------------------------------------------------------------- what cannot work


def refused(call, /, **settings):
    with pytest.raises(lightly_core.ConfigError) as caught:
        call(**settings)
    return str(caught.value)


def test_files_of_an_own_module_ask_for_it(embedded_run, features):
    for file in ("", *WAYS.values()):
        message = refused(features, model=embedded_run / file)
        assert "TinyConv" in message
        assert "pass it again as model, and this file as checkpoint" in message


def test_a_missing_layer_is_named(embedded_run, features, tmp_path):
    file = tmp_path / "moved.safetensors"
    file.write_bytes((embedded_run / WAYS["safetensors"]).read_bytes())
    message = refused(features, model=TinyConv(), checkpoint=file)
    assert "embed_dim=6" in message
    assert "'moved.embedding.safetensors'" in message


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_refused(run, features):
    message = refused(features, model=TinyConv(), checkpoint=run / WAYS["pt"])
    assert "fits Sequential" in message or "another model" in message
    message = refused(features, model="timm/test_vit", checkpoint=run / WAYS["ckpt"])
    assert "VisionTransformer" in message


def test_a_file_together_with_a_checkpoint_is_refused(run, features):
    message = refused(features, model=run, checkpoint=run / WAYS["pt"])
    assert message.startswith("config.checkpoint: ")
    assert str(run) in message


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_is_named(way, run, features, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for source in (run / WAYS["safetensors"], run / WAYS["pt"], run / WAYS["ckpt"]):
        content = source.read_bytes()
        damaged = source.suffix == (run / WAYS[way]).suffix
        (folder / source.name).write_bytes(content[: len(content) // 2] if damaged else content)
    name = (run / WAYS[way]).name
    if way == "pt":  # it is not needed if the safetensors file is in the same folder
        (folder / "exported_last.safetensors").unlink()
    message = refused(features, model=folder / name)
    assert name in message
    assert "cannot be read" in message or "is not in the same folder" in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("no/such/run/last.ckpt", "there is no file or folder 'no/such/run/last.ckpt'"),
        ("./my_run", "there is no file or folder './my_run'"),
        ("torchvision/resnet19", "resnet18"),
        ("out/my_run", "nor is there a file or folder 'out/my_run'"),
        ("my_run", "nor is there a file or folder 'my_run'"),
    ],
)
def test_what_does_not_exist_is_named(given, message, features):
    assert message in refused(features, model=given)


def test_a_folder_without_an_export_and_a_foreign_file(features, tmp_path):
    assert "has no exported_models/exported_last" in refused(features, model=tmp_path)
    foreign = tmp_path / "weights.pt"
    torch.save(TinyConv().state_dict(), foreign)
    message = refused(features, model=foreign)
    assert "does not contain the name of its network" in message
    assert "give model=LIBRARY/NAME and this file as checkpoint" in message


def test_no_class_token(features):
    message = refused(features, model=TinyConv(), features="class_token", image_size=16)
    assert "has no class token; use features=pooled" in message


def test_half_of_a_normalisation(features):
    assert "got only one of them" in refused(features, model=TinyConv(), mean=(0, 0, 0))
    message = refused(features, model=TinyConv(), mean=(0, 0, 0), std=(0, 1, 1))
    assert "must be numbers in (0, 1]" in message


def test_a_module_that_cannot_be_copied(features):
    model = TinyConv()
    model.kept = model(torch.rand(2, 3, 16, 16))  # not a leaf of the graph
    assert "cannot be copied" in refused(features, model=model)


def test_a_device_that_is_not_there(features):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    assert "use accelerator=cpu" in refused(
        lightly_core.embed,
        model=TinyConv(),
        data="builtin:digits",
        out="x.csv",
        accelerator="cuda",
    )


@pytest.mark.slow
def test_a_run_remembers_the_range_of_its_images(pretrain, features, tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        deep = rng.integers(0, 10001, (32, 32), np.uint16)
        Image.fromarray(deep).save(folder / f"{index}.tif")
    views = {"image_size": 32, "value_range": (0, 10000)}
    run = pretrain(model="timm/test_resnet", data=folder, transform_args=views)
    remembered = features(model=run, data=folder)
    assert np.array_equal(remembered, features(model=run, data=folder, value_range=(0, 10000)))
    assert not np.allclose(remembered, features(model=run, data=folder, value_range=(0, 65535)))

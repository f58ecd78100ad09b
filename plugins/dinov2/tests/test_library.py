import logging

import pytest
import torch
from circles import mark_others

from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.models.wrapping import get_wrapped_model
from lightly_dinov2.models import MODELS


def expanded(shapes):
    """Tensors of any shape that take no memory."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


# --------------------------------------------------------------------------------------- names


def test_every_size_is_there_with_and_without_registers_and_weights(library):
    assert len(library.names()) == 16
    assert {"vits14", "vitg14-noreg", "vitb14-notpretrained"} < set(library.names())
    assert "vitl14-noreg-notpretrained" in library.names()


def test_the_addresses_are_those_of_metas_files():
    base = "https://dl.fbaipublicfiles.com/dinov2"
    assert MODELS["vits14"].url == f"{base}/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth"
    assert MODELS["vitg14-noreg"].url == f"{base}/dinov2_vitg14/dinov2_vitg14_pretrain.pth"
    assert MODELS["vitl14-noreg-notpretrained"].url is None


def test_an_unknown_name_offers_near_ones(create):
    with pytest.raises(UnknownModelError, match=r"did you mean .*vits14-noreg"):
        create("vits14-noregs")
    with pytest.raises(UnknownModelError, match=r"did you mean .*vitb14"):
        get_wrapped_model("dinov2/vitb15")


SIZES = {
    "vits14": (384, 12, 1536),
    "vitb14": (768, 12, 3072),
    "vitl14": (1024, 24, 4096),
    "vitg14": (1536, 40, 4096),
}


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")  # Only names and shapes matter here.
@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("size", mark_others(pytest.mark.families, SIZES, "vits14"))
def test_files_of_every_size_fit_completely(shapes_of, size, registers):
    from timm.models.vision_transformer import VisionTransformer

    from lightly_dinov2.layout import from_meta
    from lightly_timm.published import build, load_complete

    width, depth, hidden = SIZES[size]
    gated = size == "vitg14"
    shapes = shapes_of(width, depth, registers=registers, hidden=hidden, gated=gated, grid=37)
    model = MODELS[size if registers else f"{size}-noreg"]
    with torch.device("meta"):
        module = build(
            model.timm_name,
            VisionTransformer,
            fixed={"num_classes": 0},
            arguments={"img_size": 518},
            model=size,
        )
    assert len(module.blocks) == depth
    load_complete(module, from_meta(expanded(shapes), module), file="file", model=size)


# ------------------------------------------------------------------------------------- weights


def test_the_number_of_loaded_tensors_is_told(create, tiny_weights, caplog):
    with caplog.at_level(logging.INFO):
        create("vits14", tiny_weights())
    # 4 tokens and positions less the mask, 2 of the projection, 2 of the norm, 14 a block
    assert "35 of 35 tensors of dinov2/vits14 loaded from published.pth" in caplog.text


def test_models_named_pretrained_start_from_metas_file(create, tiny_weights, tmp_path, monkeypatch):
    asked = []

    def fetch(source, *, sha256=None, what):
        asked.append((source, what))
        torch.save(tensors, tmp_path / "downloaded.pth")
        return tmp_path / "downloaded.pth"

    tensors = tiny_weights(registers=0)
    monkeypatch.setattr("lightly_timm.meta.fetch", fetch)
    model = create("vits14-noreg").model
    assert asked == [(MODELS["vits14-noreg"].url, "weights of dinov2/vits14-noreg")]
    assert torch.equal(model.norm.bias, tensors["norm.bias"])
    create("vits14-notpretrained")
    assert len(asked) == 1


def test_offline_without_the_file_the_error_names_it(create):
    with pytest.raises(ConfigError) as raised:
        create("vits14-noreg")
    assert "dinov2_vits14_pretrain.pth" in str(raised.value)
    assert "weights of dinov2/vits14-noreg" in str(raised.value)


def test_a_file_with_metas_name_in_the_cache_folder_is_taken(create, tiny_weights, cache):
    tensors = tiny_weights(registers=0)
    (cache / "models").mkdir(parents=True)
    torch.save(tensors, cache / "models" / "dinov2_vits14_pretrain.pth")
    assert torch.equal(create("vits14-noreg").model.norm.bias, tensors["norm.bias"])


def test_weights_come_from_a_url(create, tiny_weights, tmp_path):
    tensors = tiny_weights()
    torch.save(tensors, tmp_path / "mine.pth")
    model = create("vits14", weights=(tmp_path / "mine.pth").as_uri()).model
    assert torch.equal(model.norm.bias, tensors["norm.bias"])


def test_weights_given_for_a_name_without_are_loaded(create, tiny_weights):
    tensors = tiny_weights()
    model = create("vits14-notpretrained", tensors).model
    assert torch.equal(model.norm.weight, tensors["norm.weight"])


@pytest.mark.families
def test_chunked_blocks_of_training_code_are_read(create, tiny_weights):
    tensors = tiny_weights(registers=0, depth=4)
    chunked = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts.insert(1, str(int(parts[1]) // 2))
        chunked[".".join(parts)] = tensor
    assert "blocks.1.3.norm1.weight" in chunked
    expected = create("vits14-noreg", tensors, depth=4).model.state_dict()
    torch.testing.assert_close(
        create("vits14-noreg", chunked, depth=4).model.state_dict(), expected
    )


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_teacher_of_a_training_checkpoint_is_read(create, tiny_weights, wrapped):
    tensors = tiny_weights()
    expected = create("vits14", tensors).model.state_dict()
    checkpoint = {f"backbone.{name}": tensor for name, tensor in tensors.items()}
    checkpoint["dino_head.mlp.0.weight"] = torch.ones(2, 2)
    if wrapped:
        checkpoint = {"teacher": checkpoint}
    torch.testing.assert_close(create("vits14", checkpoint).model.state_dict(), expected)


def test_timms_own_layout_is_read(create, tiny_weights):
    expected = create("vits14", tiny_weights()).model.state_dict()
    torch.testing.assert_close(create("vits14", expected).model.state_dict(), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_answer_to_a_grey_image_as_before(create, tiny_weights, reference, channels):
    tensors = tiny_weights()
    grey = torch.randn(2, 1, 70, 70)
    wrapper = create("vits14", tensors, channels=channels).eval()
    with torch.no_grad():
        token = wrapper.forward_features(grey.expand(-1, channels, -1, -1))["cls_token"]
    expected, _, _ = reference(tensors, grey.expand(-1, 3, -1, -1), heads=2)
    torch.testing.assert_close(token, expected, rtol=0, atol=1e-4)


# -------------------------------------------------------------------------------- wrong weights


def test_a_file_of_another_width_is_refused_with_its_size(create, shapes_of, tmp_path):
    shapes = shapes_of(768, 2, registers=4, hidden=3072, gated=False, grid=5)
    with pytest.raises(ConfigError) as raised:
        create("vits14", expanded(shapes), embed_dim=384)
    text = str(raised.value)
    assert "published.pth does not fit dinov2/vits14: 0 of its 35 tensors match" in text
    assert "35 of another shape: cls_token (1, 1, 768) instead of (1, 1, 384)" in text
    assert (
        "this file is of a dinov2/vitb14 (dimension 768), dinov2/vits14 has dimension 384" in text
    )


@pytest.mark.parametrize(
    ("name", "registers", "reason"),
    [
        ("vits14", 0, "this file has 0 registers, dinov2/vits14 has 4\n  use dinov2/vits14-noreg"),
        (
            "vits14-noreg-notpretrained",
            4,
            "this file has 4 registers, dinov2/vits14-noreg-notpretrained has 0"
            "\n  use dinov2/vits14-notpretrained",
        ),
    ],
)
def test_registers_that_do_not_agree_are_named(create, tiny_weights, name, registers, reason):
    with pytest.raises(ConfigError) as raised:
        create(name, tiny_weights(registers=registers))
    assert str(raised.value).endswith(reason)


def test_a_file_of_a_deeper_model_is_refused(create, tiny_weights):
    with pytest.raises(ConfigError, match="this file has 3 blocks, dinov2/vits14 has 2"):
        create("vits14", tiny_weights(depth=3))


def test_a_file_of_which_a_part_is_missing_is_refused(create, tiny_weights):
    tensors = tiny_weights()
    del tensors["blocks.1.ls2.gamma"], tensors["norm.bias"]
    tensors["head.weight"] = torch.ones(3)
    with pytest.raises(ConfigError) as raised:
        create("vits14", tensors)
    assert "33 of its 35 tensors match" in str(raised.value)
    assert "2 missing in the file: norm.bias, blocks.1.ls2.gamma" in str(raised.value) or (
        "2 missing in the file: blocks.1.ls2.gamma, norm.bias" in str(raised.value)
    )
    assert "1 unexpected: head.weight" in str(raised.value)


def test_a_file_of_dinov3_is_named(create, tiny_weights):
    tensors = tiny_weights(registers=0)
    del tensors["pos_embed"]
    tensors |= {"storage_tokens": torch.ones(1, 4, 48), "rope_embed.periods": torch.ones(6)}
    with pytest.raises(ConfigError, match="this file is of DINOv3; use a model of dinov3/"):
        create("vits14", tensors)


def test_a_file_of_another_architecture_is_refused(create):
    with pytest.raises(ConfigError, match=r"not of a vision transformer; it has layer1\.weight"):
        create("vits14", {"layer1.weight": torch.ones(2, 2)})


def test_a_file_that_is_no_checkpoint_is_refused(create, tmp_path):
    (tmp_path / "notes.pth").write_text("not weights")
    with pytest.raises(ConfigError, match=r"notes\.pth"):
        create("vits14", weights=str(tmp_path / "notes.pth"))


def test_a_file_that_is_not_there_is_named(create, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.pth"):
        create("vits14", weights=str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize(
    ("model_args", "message"),
    [
        ({"drop_path": 0.1}, r"unknown model_args of dinov2/vits14-notpretrained: drop_path, did "
         r"you mean 'drop_path_rate'\?\n  it takes .*img_size.*weights"),
        ({"num_classes": 3}, "num_classes is fixed for the models of this library"),
        ({"embed_dim": 47}, "refuses model_args .*47"),
        ({"weights": 3}, "model_args.weights: expected the path or URL of a file, got 3"),
    ],
)  # fmt: skip
def test_wrong_model_args_are_explained(create, model_args, message):
    with pytest.raises(ConfigError, match=message):
        create("vits14-notpretrained", **model_args)


def test_drop_path_reaches_the_blocks(create):
    assert (
        create("vits14-notpretrained").model.blocks[1].drop_path1.__class__.__name__ == "Identity"
    )
    block = create("vits14-notpretrained", drop_path_rate=0.3).model.blocks[1]
    assert block.drop_path1.drop_prob == pytest.approx(0.3)

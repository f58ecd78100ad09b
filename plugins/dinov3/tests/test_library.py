import hashlib
import logging

import pytest
import torch
from circles import mark_others

from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.models.wrapping import get_wrapped_model
from lightly_dinov3.models import MODELS, published_sha256

TRANSFORMER = {"embed_dim": 32, "depth": 2, "num_heads": 2}


def expanded(shapes):
    """Tensors of any shape that take no memory."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


# --------------------------------------------------------------------------------------- names


def test_every_size_is_there_with_and_without_weights(library):
    sizes = {"vits16", "vits16plus", "vitb16", "vitl16", "vith16plus", "vit7b16"}
    sizes |= {"vitt16", "vitt16plus"}
    sizes |= {"convnext-tiny", "convnext-small", "convnext-base", "convnext-large"}
    assert set(library.names()) == sizes | {f"{size}-notpretrained" for size in sizes}


def test_the_files_are_named_as_meta_names_them():
    assert MODELS["vits16"].file == "dinov3_vits16_pretrain_lvd1689m-08c60483.pth"
    assert MODELS["convnext-tiny"].file == "dinov3_convnext_tiny_pretrain_lvd1689m-21b726bb.pth"
    assert MODELS["vitb16-notpretrained"].file is None
    assert MODELS["vitt16"].file is None
    assert published_sha256("dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth") == "eadcf0ff"
    assert published_sha256("my_model-eadcf0ff.pth") is None


def test_an_unknown_name_offers_near_ones(create):
    with pytest.raises(UnknownModelError, match=r"did you mean .*convnext-tiny"):
        create("convnext_tiny")
    with pytest.raises(UnknownModelError, match=r"did you mean .*vitb16"):
        get_wrapped_model("dinov3/vitb14")


SIZES = {
    "vits16": (384, 12, 6, 1536),
    "vits16plus": (384, 12, 6, 1536),
    "vitb16": (768, 12, 12, 3072),
    "vitl16": (1024, 24, 16, 4096),
    "vith16plus": (1280, 32, 20, 5120),
    "vit7b16": (4096, 40, 32, 8192),
    "vitt16": (192, 12, 3, 768),
    "vitt16plus": (192, 12, 3, 768),
}


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")  # Only names and shapes matter here.
@pytest.mark.parametrize("size", mark_others(pytest.mark.families, SIZES, "vits16"))
def test_files_of_every_transformer_fit_completely(shapes_of, size):
    width, depth, heads, hidden = SIZES[size]
    biased = size != "vit7b16"
    gated = "plus" in size or not biased
    shapes = shapes_of["transformer"](
        width, depth, heads, hidden=hidden, gated=gated, biased=biased
    )
    from timm.models.eva import Eva

    from lightly_dinov3.layout import from_meta
    from lightly_timm.published import build, load_complete

    model = MODELS[size]
    with torch.device("meta"):
        module = build(
            model.timm_name, Eva, fixed={"num_classes": 0}, arguments=model.arguments, model=size
        )
    assert {block.attn.num_heads for block in module.blocks} == {heads}
    # Values on the meta device cannot be compared.
    assert module.rope.periods.shape == shapes.pop("rope_embed.periods")
    load_complete(module, from_meta(expanded(shapes), module), file="file", model=size)


CONVNEXTS = {
    "convnext-tiny": ((96, 192, 384, 768), (3, 3, 9, 3)),
    "convnext-small": ((96, 192, 384, 768), (3, 3, 27, 3)),
    "convnext-base": ((128, 256, 512, 1024), (3, 3, 27, 3)),
    "convnext-large": ((192, 384, 768, 1536), (3, 3, 27, 3)),
}


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")  # Only names and shapes matter here.
@pytest.mark.parametrize("size", mark_others(pytest.mark.families, CONVNEXTS, "convnext-tiny"))
def test_files_of_every_convnext_fit_completely(shapes_of, size):
    from timm.models.convnext import ConvNeXt

    from lightly_dinov3.layout import from_meta
    from lightly_timm.published import build, load_complete

    model = MODELS[size]
    with torch.device("meta"):
        module = build(
            model.timm_name, ConvNeXt, fixed={"num_classes": 0}, arguments={}, model=size
        )
    shapes = shapes_of["convnext"](*CONVNEXTS[size])
    load_complete(module, from_meta(expanded(shapes), module), file="file", model=size)


# ------------------------------------------------------------------------- where weights are


def test_without_weights_the_error_says_where_to_get_them(create):
    with pytest.raises(ConfigError) as raised:
        create("vits16")
    text = str(raised.value)
    assert "dinov3_vits16_pretrain_lvd1689m-08c60483.pth" in text
    assert "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/" in text
    assert 'model_args={"weights": "..."}' in text
    assert "dinov3/vits16-notpretrained" in text


def test_a_file_in_the_cache_folder_is_found(create, tensors_of, cache, monkeypatch):
    tensors = tensors_of("vits16")
    file = cache / "models" / MODELS["vits16"].file
    file.parent.mkdir(parents=True)
    torch.save(tensors, file)
    # The digits in the name of the published file are not those of this one.
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr("lightly_dinov3.library.published_sha256", lambda name: digits)
    model = create("vits16").model
    assert torch.equal(model.norm.bias, tensors["norm.bias"])


def test_a_file_whose_digits_are_wrong_is_refused(library, tensors_of, tmp_path):
    file = tmp_path / "dinov3_vits16_pretrain_lvd1689m-08c60483.pth"
    torch.save(tensors_of("vits16"), file)
    with pytest.raises(ConfigError, match="08c60483"):
        library.create(
            "vits16", num_input_channels=3, model_args={**TRANSFORMER, "weights": str(file)}
        )


def test_a_signed_address_is_fetched_with_the_digits_of_its_file(
    create, tensors_of, tmp_path, monkeypatch, caplog
):
    asked = []

    def fetch(source, *, sha256=None, what):
        asked.append((source, sha256, what))
        torch.save(tensors, tmp_path / "downloaded.pth")
        return tmp_path / "downloaded.pth"

    tensors = tensors_of("vits16")
    monkeypatch.setattr("lightly_timm.meta.fetch", fetch)
    file = MODELS["vits16"].file
    address = f"https://example.org/dinov3_vits16/{file}?Policy=secret/a.pth&Signature=s"
    with caplog.at_level(logging.DEBUG):
        create("vits16", weights=address)
    assert asked == [(address, "08c60483", "weights of dinov3/vits16")]
    assert "secret" not in caplog.text


def test_offline_the_error_names_the_file_and_nothing_of_the_signature(create):
    file = MODELS["vits16"].file
    with pytest.raises(ConfigError) as raised:
        create("vits16", weights=f"https://example.org/{file}?Signature=secret")
    assert file in str(raised.value)
    assert "secret" not in str(raised.value)


def test_tiny_models_start_at_random_and_say_so(create, caplog):
    with caplog.at_level(logging.INFO):
        model = create("vitt16plus").model
    assert "dinov3/vitt16plus has no published file" in caplog.text
    assert any("fc1_g" in name for name in model.state_dict())


# ------------------------------------------------------------------------------------- weights


def test_the_number_of_loaded_tensors_is_told(create, tensors_of, caplog):
    with caplog.at_level(logging.INFO):
        create("vits16", tensors_of("vits16"))
        create("convnext-tiny", tensors_of("convnext-tiny"))
    # 2 tokens, 2 of the projection, 2 of the norm, 15 a block, where the bias counts twice
    assert "36 of 36 tensors of dinov3/vits16 loaded from published.pth" in caplog.text
    assert "63 of 63 tensors of dinov3/convnext-tiny loaded from published.pth" in caplog.text


def test_the_norm_of_local_crops_is_left_out(create, tensors_of):
    tensors = tensors_of("vits16")
    tensors |= {"local_cls_norm.weight": torch.ones(32), "local_cls_norm.bias": torch.ones(32)}
    assert create("vitl16", tensors).model.norm.bias.equal(tensors["norm.bias"])


@pytest.mark.families
@pytest.mark.parametrize("name", ["vits16plus", "convnext-tiny"])
def test_the_teacher_of_a_training_checkpoint_is_read(create, tensors_of, name):
    tensors = tensors_of(name)
    expected = create(name, tensors).model.state_dict()
    checkpoint = {f"backbone.{key}": tensor for key, tensor in tensors.items()}
    checkpoint["dino_head.mlp.0.weight"] = torch.ones(2, 2)
    found = create(name, {"teacher": checkpoint}).model.state_dict()
    torch.testing.assert_close(found, expected)


@pytest.mark.families
@pytest.mark.parametrize("name", ["vits16", "vits16plus", "convnext-tiny"])
def test_timms_own_layout_is_read(create, tensors_of, name):
    expected = create(name, tensors_of(name)).model.state_dict()
    torch.testing.assert_close(create(name, expected).model.state_dict(), expected)


@pytest.mark.families
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["vits16", "convnext-tiny"])
def test_other_channels_answer_to_a_grey_image_as_before(create, tensors_of, name, channels):
    tensors = tensors_of(name)
    grey = torch.randn(2, 1, 64, 64)
    tokens = []
    for number in (3, channels):
        wrapper = create(name, tensors, channels=number).eval()
        with torch.no_grad():
            found = wrapper.forward_features(grey.expand(-1, number, -1, -1))
        tokens.append(found["cls_token"])
    torch.testing.assert_close(*tokens, rtol=0, atol=1e-4)


# -------------------------------------------------------------------------------- wrong weights


def test_a_file_of_another_width_is_refused_with_its_size(create, shapes_of):
    shapes = shapes_of["transformer"](768, 2, 12, hidden=3072, gated=False)
    with pytest.raises(ConfigError) as raised:
        create("vits16", expanded(shapes), embed_dim=384)
    text = str(raised.value)
    assert "published.pth does not fit dinov3/vits16: 0 of its 36 tensors match" in text
    assert (
        "this file is of a dinov3/vitb16 (dimension 768), dinov3/vits16 has dimension 384" in text
    )


def test_a_plus_model_is_told_from_a_plain_one(create, tensors_of):
    with pytest.raises(ConfigError, match=r"this file has SwiGLU layers \('plus'\), dinov3/vits16 "
                       "has plain feed-forward layers"):  # fmt: skip
        create("vits16", tensors_of("vits16plus"))


@pytest.mark.parametrize(
    ("name", "other", "reason"),
    [
        (
            "vits16",
            "convnext-tiny",
            "this file is of a ConvNeXt, dinov3/vits16 is a vision",
        ),
        ("convnext-tiny", "vits16", "this file is of another kind of model"),
    ],
)
def test_the_other_family_is_named(create, tensors_of, name, other, reason):
    with pytest.raises(ConfigError, match=reason):
        create(name, tensors_of(other))


def test_a_convnext_of_another_size_is_named(create, tensors_of):
    with pytest.raises(ConfigError, match=r"has \[1, 2, 3, 1\] blocks, .* has \[1, 2, 1, 1\]"):
        create("convnext-tiny", tensors_of("convnext-tiny", depths=(1, 2, 3, 1)))
    with pytest.raises(ConfigError, match=r"a ConvNeXt of dimension 32, .* has dimension 24"):
        create("convnext-tiny", tensors_of("convnext-tiny", widths=(8, 12, 16, 32)))


def test_a_file_of_dinov2_is_named(create, tensors_of):
    tensors = tensors_of("vits16")
    tensors["pos_embed"] = torch.ones(1, 26, 32)
    with pytest.raises(ConfigError, match="for those of DINOv2 use a model of dinov2/"):
        create("vits16", tensors)


def test_a_bias_of_keys_is_refused(create, tensors_of):
    tensors = tensors_of("vits16")
    tensors["blocks.1.attn.qkv.bias_mask"].fill_(1)
    with pytest.raises(ConfigError) as raised:
        create("vits16", tensors)
    assert "1 unexpected: blocks.1.attn.qkv.bias" in str(raised.value)
    assert "this file has biases of keys" in str(raised.value)


def test_another_rotary_embedding_is_refused(create, tensors_of):
    tensors = tensors_of("vits16")
    tensors["rope_embed.periods"] = 10000.0 ** (torch.arange(4) / 4)
    with pytest.raises(ConfigError, match="another rotary embedding"):
        create("vits16", tensors)
    wrapper = create("vits16", tensors, rope_temperature=10000.0)
    assert wrapper.model.rope.periods.equal(tensors["rope_embed.periods"])


def test_a_file_of_which_a_part_is_missing_is_refused(create, tensors_of):
    tensors = tensors_of("vits16")
    del tensors["blocks.1.ls2.gamma"]
    with pytest.raises(ConfigError) as raised:
        create("vits16", tensors)
    assert "35 of its 36 tensors match" in str(raised.value)
    assert "1 missing in the file: blocks.1.gamma_2" in str(raised.value)


def test_a_file_that_is_no_checkpoint_is_refused(create, tmp_path):
    (tmp_path / "notes.pth").write_text("not weights")
    with pytest.raises(ConfigError, match=r"notes\.pth"):
        create("vits16", weights=str(tmp_path / "notes.pth"))


@pytest.mark.parametrize(
    ("model_args", "message"),
    [
        ({"drop_path": 0.1}, "unknown model_args of dinov3/vitt16: drop_path, did you mean "
         "'drop_path_rate'"),
        ({"depth": "many"}, "refuses model_args .*many"),
    ],
)  # fmt: skip
def test_wrong_model_args_are_explained(create, model_args, message):
    with pytest.raises(ConfigError, match=message):
        create("vitt16", **model_args)

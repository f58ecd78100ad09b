"""Whole training steps of masked prediction, compared with steps of Lightly's parts.

The backbone is a small vision transformer of timm: 16 patches of 4 pixels.
"""

import copy

import torch
from lightly.models.modules import (
    IJEPAPredictorTIMM,
    MaskedVisionTransformerDecoderTIMM,
    MaskedVisionTransformerTIMM,
)
from lightly.models.utils import (
    apply_masks,
    get_at_index,
    normalize_mean_var,
    patchify,
    repeat_token,
    set_at_index,
    update_momentum,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, ModelWrapper
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from parity.building import TOTAL_STEPS, build
from parity.records import Comparison, Outcome, Training
from parity.twins import Twins

B, SIDE, PATCH, DIM, HEADS, P = 4, 16, 4, 12, 2, 8
PATCHES = (SIDE // PATCH) ** 2
STEPS = 3


def _transformer(class_token: bool) -> VisionTransformer:
    return VisionTransformer(
        img_size=SIDE, patch_size=PATCH, embed_dim=DIM, depth=2, num_heads=HEADS, num_classes=0,
        class_token=class_token, global_pool="token" if class_token else "avg", fc_norm=False,
    )  # fmt: skip


def _wrapped(model: VisionTransformer) -> ModelWrapper:
    library = load_target(get_plugins().catalog.get("models", "timm"))
    return library().wrap(model, num_input_channels=3)  # type: ignore[operator]


def start(
    name: str, options: dict[str, object], *, class_token: bool = True
) -> tuple[Method, MaskedVisionTransformerTIMM, Twins]:
    """Return our method, a copy of its backbone as a module of Lightly, and their pairing."""
    model = _transformer(class_token)
    method = build(
        name, options, _wrapped(model), image_size=(SIDE, SIDE), num_views=1, batch_size=B
    )
    backbone = MaskedVisionTransformerTIMM(
        copy.deepcopy(model), weight_initialization="skip", pos_embed_initialization="skip"
    )
    twins = Twins(method)
    twins.add("backbone", model, backbone.vit)
    return method, backbone, twins


def batches(**sizes: tuple[int, ...]) -> list[Batch]:
    """Return batches of one view. `sizes` gives the shape of the patch numbers of each extra."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(STEPS):
        images = torch.randn(B, 3, SIDE, SIDE, generator=generator)
        orders = torch.stack([torch.randperm(PATCHES, generator=generator) for _ in range(B)])
        extras, start = {}, 0
        for name, shape in sizes.items():
            count = int(torch.tensor(shape).prod())
            extras[name] = orders[:, start : start + count].reshape(B, *shape).sort().values
            start += count
        made.append(Batch([images], torch.arange(B), extras))
    return made


def pair_blocks(twins: Twins, ours: nn.Module, theirs: nn.Module, dim: int) -> None:
    """Pair the parameters of a predictor with those of timm's blocks, whose qkv is one layer."""
    for number, (block, other) in enumerate(zip(ours.blocks, theirs.blocks, strict=True)):
        modules = (
            ("norm1", block.norm1, other.norm1),
            ("output", block.attention.output, other.attn.proj),
            ("norm2", block.norm2, other.norm2),
            ("mlp0", block.mlp[0], other.mlp.fc1),
            ("mlp2", block.mlp[2], other.mlp.fc2),
        )
        for name, *pair in modules:
            twins.add(f"blocks.{number}.{name}", *pair)
        layers = {"query": slice(dim), "key_value": slice(dim, None)}
        for layer, rows in layers.items():
            for part in ("weight", "bias"):
                own = getattr(block.attention, layer).get_parameter(part)
                joined = other.attn.qkv.get_parameter(part)
                twins.add_parameter(f"blocks.{number}.{layer}.{part}", own, joined, rows)
    twins.add("norm", ours.norm, theirs.norm)
    twins.add_parameter("mask_token", ours.mask_token, theirs.mask_token)


def positions(ours: nn.Module, num_prefix: int) -> Tensor:
    """Return our position embeddings as Lightly stores them, with zeros for prefix tokens."""
    rows = ours.positions
    return torch.cat([rows.new_zeros(num_prefix, rows.shape[1]), rows])[None]


def _mae() -> tuple[Outcome, Outcome]:
    options = {"decoder_dim": P, "decoder_depth": 2, "decoder_num_heads": HEADS, "mask_ratio": 0.75}
    method, backbone, twins = start("mae", options)
    embed, predict = nn.Linear(DIM, P), nn.Linear(P, PATCH**2 * 3)
    decoder = MaskedVisionTransformerDecoderTIMM(PATCHES, P, depth=2, num_heads=HEADS)
    decoder.pos_embed.data.copy_(positions(method.decoder, 1))
    pair_blocks(twins, method.decoder, decoder, P)
    twins.add("embed", method.decoder.embed, embed)
    twins.add("output", method.decoder.output, predict)

    def loss(batch: Batch, _: int) -> Tensor:
        (images,) = batch.views
        first = torch.zeros(B, 1, dtype=torch.long)
        keep = torch.cat([first, batch.extras["keep"] + 1], dim=1)
        encoded = embed(backbone.encode(images, idx_keep=keep))
        masked = repeat_token(decoder.mask_token, (B, backbone.sequence_length))
        decoded = decoder(set_at_index(masked, keep, encoded))
        prediction = predict(get_at_index(decoded, batch.extras["hidden"] + 1))
        pixels = get_at_index(patchify(images, PATCH), batch.extras["hidden"])
        return nn.MSELoss()(prediction, normalize_mean_var(pixels, dim=-1))

    return twins.train(batches(keep=(4,), hidden=(12,)), loss)


def _simmim() -> tuple[Outcome, Outcome]:
    method, backbone, twins = start("simmim", {})
    head = nn.Linear(DIM, PATCH**2 * 3)
    twins.add("head", method.head, head)
    twins.add_parameter("mask_token", method.mask_token, backbone.mask_token)
    made = batches(hidden=(9,))
    for batch in made:
        mask = torch.zeros(B, PATCHES, dtype=torch.bool)
        batch.extras["mask"] = mask.scatter(1, batch.extras["hidden"], True)

    def loss(batch: Batch, _: int) -> Tensor:
        (images,), hidden = batch.views, batch.extras["hidden"]
        encoded = backbone.encode(images, idx_mask=hidden + 1)
        prediction = head(get_at_index(encoded, hidden + 1))
        return nn.L1Loss()(prediction, get_at_index(patchify(images, PATCH), hidden))

    return twins.train(made, loss)


def _ijepa() -> tuple[Outcome, Outcome]:
    options = {
        "predictor_dim": P, "predictor_depth": 2, "predictor_num_heads": HEADS,
        "num_targets": 2, "momentum_start": 0.9,
    }  # fmt: skip
    method, backbone, twins = start("ijepa", options, class_token=False)
    predictor = IJEPAPredictorTIMM(PATCHES, 2, DIM, P, HEADS)
    predictor.decoder.pos_embed.data.copy_(positions(method.predictor, 0))
    pair_blocks(twins, method.predictor, predictor.decoder, P)
    twins.add("embed", method.predictor.embed, predictor.predictor_embed)
    twins.add("output", method.predictor.output, predictor.predictor_proj)
    teacher = copy.deepcopy(backbone).requires_grad_(False)

    def loss(batch: Batch, _: int) -> Tensor:
        (images,), keep = batch.views, batch.extras["keep"]
        blocks = list(batch.extras["targets"].unbind(dim=1))
        whole = teacher.encode(images)
        wanted = apply_masks(nn.functional.layer_norm(whole, (DIM,)), blocks)
        prediction = predictor(backbone.encode(images, idx_keep=keep), keep, blocks)
        return nn.SmoothL1Loss()(prediction, wanted)

    def after_step(step: int) -> None:
        # Linear, as in the paper.
        momentum = 0.9 + 0.1 * step / (TOTAL_STEPS - 1)
        update_momentum(backbone.vit, teacher.vit, momentum)

    return twins.train(batches(keep=(4,), targets=(2, 3)), loss, after_step)


WHAT = "3 training steps with copied weights"

COMPARISONS: tuple[Comparison, ...] = (
    Training(
        method="mae", what=WHAT,
        equals="`MaskedVisionTransformerTIMM`, `MaskedVisionTransformerDecoderTIMM`", run=_mae,
        differs="position embeddings start with the row's half, Lightly's with the column's; both "
        "use ours",
    ),
    Training(
        method="simmim", what=WHAT, equals="`MaskedVisionTransformerTIMM`", run=_simmim,
    ),
    Training(
        method="ijepa", what=WHAT,
        equals="`MaskedVisionTransformerTIMM`, `IJEPAPredictorTIMM`, `update_momentum`", run=_ijepa,
        differs="as mae; the number of patches in a block is fixed",
    ),
)  # fmt: skip

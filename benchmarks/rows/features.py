"""Features of folders of photographs: `lightly embed` and `lightly evaluate`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program

RESNET, TINY = "torchvision/resnet18", "torchvision/shufflenet_v2_x0_5"
COMMON = ("num_workers=0", "accelerator=cpu")

_CONVOLUTION = (
    "The float32 convolutions of the network, three fifths of the time, and the imports of torch "
    "and torchvision, a quarter. bfloat16 would halve the first, but changes the features."
)
_START = "The imports of torch and torchvision, three fifths of the time."


def rows() -> Iterator[Row]:
    """Yield whole commands: with a ResNet, and with a network that takes little time itself."""
    for model, size, number, bound in (
        (RESNET, "500x375", "400", _CONVOLUTION),
        (RESNET, "1920x1440", "400", _CONVOLUTION),
        (TINY, "500x375", "1200", _START),
    ):
        words = ("embed", f"model={model}", "data=DATA", "out=OUT.pt", *COMMON)
        yield Row(
            name=f"embed, {model.partition('/')[2]}, {number} files of {size}",
            unit="s",
            ours=program("photo_command", f"@{size}", number, *words),
            peer=program("lightly_train_embed", f"@{size}", number, model, code="peer"),
            peer_name="LightlyTrain",
            least_ratio=2.0,
            bound=bound,
        )
    for size, number in (("500x375", "400"), ("1920x1440", "200")):
        words = ("evaluate", f"model={TINY}", "data=DATA", "linear=false", *COMMON)
        yield Row(
            name=f"evaluate by kNN, {TINY.partition('/')[2]}, {number} files of {size}",
            unit="s",
            ours=program("photo_command", f"@{size}", number, *words),
            peer=program("photo_command", f"@{size}", number, *words, code="before"),
            peer_name="before",
        )

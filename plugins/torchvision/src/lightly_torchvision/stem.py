"""Changes to the first layers: other numbers of channels, and a stem for small images.

Each function changes the model and returns the Python lines that do the same to a fresh one.
"""

from __future__ import annotations

from torch import nn

from lightly_core.errors import ConfigError


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return path and module of the convolution that takes the image.

    Raises:
        ConfigError: The model has none.
    """
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return path, module
    raise ConfigError(f"{type(model).__name__} has no 2D convolution that could take images")


def use_small_stem(model: nn.Module) -> list[str]:
    """Keep the resolution in the first layers, for images of about 32 to 96 pixels.

    The 7x7 convolution of stride 2 becomes a 3x3 one of stride 1, and the max-pooling after it
    is dropped, as usual for ResNets on CIFAR (SimCLR, https://arxiv.org/abs/2002.05709, appendix
    B.9). The feature map is four times as high and wide.

    Args:
        model: Changed in place; the new convolution starts from random weights.

    Returns:
        Python lines that change a model called ``model`` in the same way.

    Raises:
        ConfigError: The model does not begin like that.
    """
    path, convolution = first_convolution(model)
    pool_path = _pooling_after_first_convolution(model)
    if convolution.kernel_size != (7, 7) or convolution.stride != (2, 2) or pool_path is None:
        raise ConfigError(
            f"small_stem is for models that begin with a 7x7 convolution of stride 2 and a "
            f"max-pooling (ResNet, ResNeXt, DenseNet, GoogLeNet), but {type(model).__name__} "
            f"begins with {convolution}\n  omit small_stem, or use such a model"
        )
    small = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        kernel_size=3,
        padding=1,
        bias=convolution.bias is not None,
        device=convolution.weight.device,
        dtype=convolution.weight.dtype,
    )
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    return [_replace(model, path, small), _replace(model, pool_path, nn.Identity())]


def use_input_channels(model: nn.Module, channels: int, *, pretrained: bool) -> list[str]:
    """Make the model take images with another number of channels.

    Args:
        model: Changed in place.
        channels: Channels of the images, >= 1.
        pretrained: Whether the weights are worth keeping. The new convolution then repeats the
            old one's channels, so that the output for a grey image stays the same. Otherwise it
            is sampled from a normal distribution with the old one's standard deviation.

    Returns:
        Python lines that change a model called ``model`` in the same way.

    Raises:
        ConfigError: The model has no convolution.
    """
    path, old = first_convolution(model)
    if old.in_channels == channels:
        return []
    new = nn.Conv2d(
        channels,
        old.out_channels,
        kernel_size=_pair(old.kernel_size),
        stride=_pair(old.stride),
        padding=old.padding if isinstance(old.padding, str) else _pair(old.padding),
        dilation=_pair(old.dilation),
        bias=old.bias is not None,
        device=old.weight.device,
        dtype=old.weight.dtype,
    )
    weight = old.weight.detach()  # (out, old channels, kh, kw)
    if pretrained:
        repeats = -(-channels // old.in_channels)
        repeated = weight.repeat(1, repeats, 1, 1)[:, :channels]
        scaled = repeated * (old.in_channels / channels)
        rest = weight.sum(dim=1, keepdim=True) - scaled.sum(dim=1, keepdim=True)
        new.weight.data.copy_(scaled + rest / channels)
    else:
        new.weight.data.normal_().mul_(weight.std())
    if old.bias is not None and new.bias is not None:
        new.bias.data.copy_(old.bias.detach())
    return [_replace(model, path, new)]


def _pooling_after_first_convolution(model: nn.Module) -> str | None:
    """Return the path of the max-pooling between the first two convolutions."""
    convolutions = 0
    for path, module in model.named_modules():
        convolutions += isinstance(module, nn.Conv2d)
        if convolutions > 1:
            return None
        if convolutions == 1 and isinstance(module, nn.MaxPool2d):
            return str(path)
    return None


def _replace(model: nn.Module, path: str, new: nn.Module) -> str:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
    if all(part.isidentifier() for part in path.split(".")):
        return f"model.{path} = torch.nn.{new}"
    return f'setattr(model.get_submodule("{parent}"), "{name}", torch.nn.{new})'


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    return sizes[0], sizes[1]

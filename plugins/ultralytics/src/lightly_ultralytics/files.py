"""Files of models by name, and models built from ``.pt`` files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lightly_core.download.rehearsal import stop_rehearsal
from lightly_core.errors import ConfigError, UnknownModelError, unknown_model
from lightly_ultralytics.checkpoint import read_checkpoint
from lightly_ultralytics.description import Config, build, read_config
from lightly_ultralytics.names import described_models, model_names, newest_known, published_models
from lightly_ultralytics.upstream import quietly, upstream

log = logging.getLogger(__name__)

_RELEASES = "https://github.com/ultralytics/assets/releases"


def find_config(name: str) -> Config:
    """Read a model description: a file of the user, or one that comes with ultralytics.

    Raises:
        UnknownModelError: ultralytics has no such description.
        ConfigError: There is no such file, or it describes no model.
    """
    what = f"ultralytics/{name}"
    path = Path(name).expanduser()
    if not path.is_file() and len(path.parts) > 1:
        raise ConfigError(f"{what}: there is no file {path}\n  check the path")
    try:
        config = read_config(path, what)
    except FileNotFoundError:
        raise unknown_name(name) from None
    if not isinstance(config.get("backbone"), list):
        raise ConfigError(f"{what} does not describe a model, it has no 'backbone'")
    return config


def find_weights(name: str) -> Path:
    """Return a ``.pt`` file: one of the user, or one that ultralytics publishes.

    Raises:
        UnknownModelError: ultralytics publishes no such file.
        ConfigError: There is no such file, or it cannot be fetched.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if len(path.parts) > 1:
        raise ConfigError(f"ultralytics/{name}: there is no file {path}\n  check the path")
    with quietly():
        # The files of YOLOv3 and v5 have a "u" in their published names.
        name = upstream("ultralytics.utils.checks").check_yolov5u_filename(name, verbose=False)
    if name not in published_models():
        raise unknown_name(name)
    stop_rehearsal(name)
    return _fetch(name)


def unknown_name(name: str) -> UnknownModelError:
    """Return the error for a name that is neither a model of ultralytics nor a file.

    Args:
        name: The name that was received, without ``ultralytics/``.
    """
    path = Path(name)
    if path.suffix not in (".pt", ".yaml", ".yml"):
        both = [f"{name}.yaml", f"{name}.pt"]
        if known := [candidate for candidate in both if candidate in model_names()]:
            meanings = {
                both[0]: "starts from random weights",
                both[1]: "starts from weights that ultralytics trained with labels and downloads",
            }
            lines = [f"  'ultralytics/{choice}' {meanings[choice]}" for choice in known]
            return UnknownModelError(
                "\n".join([f"'ultralytics/{name}' does not specify where training starts", *lines])
            )
    installed = f"ultralytics {upstream('ultralytics').__version__}"
    newer, newer_names = newest_known()
    if name in newer_names and name not in model_names():
        return UnknownModelError(
            f"{installed} has no model {name!r}, {newer} has\n  pip install --upgrade ultralytics"
        )
    known = published_models() if path.suffix == ".pt" else list(described_models())
    return unknown_model(
        installed,
        name,
        known,
        listing="`lightly models 'ultralytics/*'` lists all; there is no file of this name either, "
        "a .pt or .yaml file of yours is named by its path: ultralytics/path/to/best.pt",
    )


def build_from_weights(path: Path, num_input_channels: int, nc: int | None) -> nn.Module:
    """Make the model of a ``.pt`` file, with its weights in float32, ready to be trained.

    Args:
        path: An existing file.
        num_input_channels: C. Where the file's model takes another number, the weights of the
            first convolution are adapted. The output for a grey image stays the same.
        nc: Number of classes; None for that of the file. With another number, those layers of the
            head that depend on it start from random weights.

    Raises:
        ConfigError: The file cannot be read, or its weights do not fit its own description.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint.config
    if nc is not None:
        config["nc"] = nc
    model: Any = build(config, num_input_channels, str(path))
    own = model.state_dict()
    fitting: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        wanted = own.get(name)
        if wanted is not None and _differs_in_channels_only(tensor, wanted, num_input_channels):
            tensor = _with_channels(tensor, num_input_channels)
        if wanted is not None and tensor.shape == wanted.shape:
            fitting[name] = tensor
    _check_fit(path, model, checkpoint.tensors, fitting, nc)
    model.load_state_dict(fitting, strict=False)
    if checkpoint.names and len(checkpoint.names) == config["nc"]:
        model.names = checkpoint.names
    if checkpoint.image_size is not None:
        model.args = {**model.args, "imgsz": checkpoint.image_size}
    assert isinstance(model, nn.Module)
    return model


def _differs_in_channels_only(tensor: Tensor, wanted: Tensor, channels: int) -> bool:
    """Return whether this is a convolution (out, in, kh, kw) that takes the image."""
    return (
        tensor.ndim == 4
        and tensor.shape != wanted.shape
        and wanted.shape[1] == channels
        and tensor.shape[:1] + tensor.shape[2:] == wanted.shape[:1] + wanted.shape[2:]
    )


def _with_channels(weight: Tensor, channels: int) -> Tensor:
    """Repeat or cut the input channels of (out, in, kh, kw); their sum stays as it is."""
    old = weight.shape[1]
    repeated = weight.repeat(1, -(-channels // old), 1, 1)[:, :channels] * (old / channels)
    rest = weight.sum(dim=1, keepdim=True) - repeated.sum(dim=1, keepdim=True)
    return repeated + rest / channels


def _check_fit(
    path: Path,
    model: nn.Module,
    tensors: dict[str, Tensor],
    fitting: dict[str, Tensor],
    nc: int | None,
) -> None:
    own = model.state_dict()
    layers = model.model
    assert isinstance(layers, nn.Sequential)
    head = f"model.{len(layers) - 1}."
    missing = [name for name in own if name not in fitting]
    if lost := [name for name in missing if not name.startswith(head)]:
        fused = any(name.endswith(".bn.weight") for name in lost) and not any(
            name.endswith(".bn.weight") for name in tensors
        )
        reason = (
            "the file was fused for inference, its batch norms are gone; use the file from training"
            if fused
            else f"such as {', '.join(lost[:3])}; it may come from another version of ultralytics "
            f"than the installed {upstream('ultralytics').__version__}"
        )
        raise ConfigError(
            f"{path}: {len(lost)} of {len(own)} tensors of its model are not in it\n  {reason}"
        )
    if missing and nc is None:
        log.warning(
            "%s: %d tensors of the head do not fit the installed ultralytics and start from "
            "random weights, such as %s",
            path,
            len(missing),
            missing[0],
        )


def _fetch(name: str) -> Path:
    """Let ultralytics find or download a published file, in the folder of its settings."""
    utils = upstream("ultralytics.utils")
    file = Path(utils.SETTINGS["weights_dir"]) / name
    if file.is_file():
        return file
    advice = (
        f"\n  download {name} from {_RELEASES} and give its path: ultralytics/path/to/{name}"
        f"\n  or start from random weights with a .yaml: see `lightly models 'ultralytics/*'`"
    )
    if not utils.is_online():
        raise ConfigError(f"there is no file {name}, and no network to fetch it from{advice}")
    log.info("Downloading %s with ultralytics to %s", name, file)
    try:
        with quietly():
            found = upstream("ultralytics.utils.downloads").attempt_download_asset(file)
    except Exception as error:  # requests, its own ConnectionError, the file system.
        raise ConfigError(f"{name} cannot be downloaded: {error}{advice}") from error
    if not Path(found).is_file():
        raise ConfigError(f"{name} was not found among the files that ultralytics has{advice}")
    return Path(found)

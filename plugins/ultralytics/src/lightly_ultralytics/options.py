"""The keys of `model_args`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, fields, frozen

from lightly_core.errors import ConfigError, unknown_model_args


@frozen(kw_only=True)
class ModelOptions:
    """Options of a model in addition to its name."""

    nc: int | None = field(default=None, metadata={"help": "number of classes of the head"})
    scale: str | None = field(
        default=None, metadata={"help": "size of a .yaml model: n, s, m, l or x"}
    )
    train_neck: bool = field(default=False, metadata={"help": "train everything up to the head"})


def read_options(model_args: Mapping[str, object], what: str) -> ModelOptions:
    """Check `model_args`.

    Args:
        model_args: As the user gave them.
        what: Full name of the model, for messages.

    Raises:
        ConfigError: A key is unknown, or a value is of another kind than expected.
    """
    known = {attribute.name: str(attribute.metadata["help"]) for attribute in fields(ModelOptions)}
    if unknown := [key for key in model_args if key not in known]:
        listed = "; ".join(f"{name} ({text})" for name, text in known.items())
        raise unknown_model_args(what, unknown, known, expected=f"it takes {listed}")
    nc, scale = model_args.get("nc"), model_args.get("scale")
    train_neck = model_args.get("train_neck", False)
    if nc is not None and (type(nc) is not int or nc < 1):
        raise ConfigError(f"model_args.nc: expected a number of classes >= 1, got {nc!r}")
    if scale is not None and not isinstance(scale, str):
        raise ConfigError(f"model_args.scale: expected a letter such as 'n', got {scale!r}")
    if not isinstance(train_neck, bool):
        raise ConfigError(f"model_args.train_neck: expected true or false, got {train_neck!r}")
    return ModelOptions(nc=nc if isinstance(nc, int) else None, scale=scale, train_neck=train_neck)

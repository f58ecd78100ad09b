"""Options that make any registered method small, and settings of a short run with it."""

import attrs
import torch

from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config
from lightly_core.testing.models import TinyConv, TinyTokens

#: Taken where a method has an option of that name.
SIZES = {
    "hidden_dim": 32,
    "output_dim": 16,
    "predictor_hidden_dim": 8,
    "local_hidden_dim": 32,
    "local_output_dim": 16,
    "bottleneck_dim": 16,
    "num_prototypes": 12,
    "num_clusters": 32,
    "num_groups": 8,
    "num_slices": 63,
    "bank_size": 24,
    "queue_size": 24,
    "decoder_dim": 16,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
    "predictor_dim": 16,
    "predictor_depth": 1,
    "predictor_num_heads": 2,
    "predictor_head_dim": 8,
}
OTHERS = {
    "swavqueue": {"queue_start": 0, "queue_size": 13, "freeze_prototypes_steps": 0},
    "smog": {"reset_interval": 2},
    "wmse": {"output_dim": 2},
    "vicregl": {"num_matches": [6, 4]},
    "dinov3": {"gram_start_step": 1},
    "dinov31": {"paka_grid": 2},
}
TOKENS = {
    *("mae", "simmim", "msn", "pmsn", "ijepa", "capi"),
    *("ibot", "dinov2", "dinov3", "dinov31", "simdinov2"),
}
TEACHERS = {"distillation", "distillationv1", "distillationv2", "distillationv3"}


def all_methods():
    """Return the names of all registered methods."""
    return get_plugins().catalog.usable_names("method")


def small_args(name):
    """Return options that make a method small."""
    config = load_config(get_plugins().catalog.get("method", name))
    known = {field.name for field in attrs.fields(config)}
    args = {key: value for key, value in SIZES.items() if key in known} | OTHERS.get(name, {})
    if name in TEACHERS:
        args |= {"teacher": TinyTokens(feature_dim=24), "teacher_precision": "fp32"}
        args |= {"mixup": False}
    return args


def small_run(name):
    """Return `model`, `method`, `method_args` and `transform_args` of a short run."""
    config = load_config(get_plugins().catalog.get("method", name))
    torch.manual_seed(0)
    args = small_args(name)
    views = {"image_size": 32}
    if getattr(config.default_transform(), "local_view", None) is not None:
        views["local_view"] = {"view_size": 16, "num_views": 2}
    return {
        "model": TinyTokens() if name in TOKENS else TinyConv(),
        "method": name,
        "method_args": args,
        "transform_args": views,
    }

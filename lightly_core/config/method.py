"""All that a method's option class needs, in one place. No torch here.

A plugin's config file imports from this module::

    from lightly_core.config.method import MethodCard, MethodConfig, Requires, at_least, positive

The classes, checks, shared fields, recipes and view presets are defined in `config/options`.
"""

from lightly_core.config.options.augmentations import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ChannelDropArgs,
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    NormalizeArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    RandomRotationArgs,
    SolarizeArgs,
)
from lightly_core.config.options.checks import (
    above_zero_to_one,
    auto_or,
    below_one,
    finite,
    finite_numbers,
    not_empty,
    not_negative,
    one_of,
    positive,
    probability,
    zero_to_one,
)
from lightly_core.config.options.method import MethodCard, MethodConfig, RunFacts
from lightly_core.config.options.method_fields import (
    hidden_dim,
    loss_weight,
    num_layers,
    num_prototypes,
    output_dim,
    predictor_hidden_dim,
    queue_size,
    sinkhorn_iterations,
    temperature,
)
from lightly_core.config.options.optim import AdamArgs, AdamWArgs, LARSArgs, OptimizerArgs, SGDArgs
from lightly_core.config.options.recipes import (
    fit_queue,
    linear_lars,
    linear_sgd,
    paper_adamw,
    transformer_adamw,
)
from lightly_core.config.options.requires import Requires, at_least, exactly
from lightly_core.config.options.short_runs import SmallRecipe, short_adamw
from lightly_core.config.options.teacher import TeacherConfig, exported
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs, ViewSpec
from lightly_core.config.options.view_presets import (
    byol_views,
    moco_views,
    simclr_views,
    swav_views,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "AdamArgs",
    "AdamWArgs",
    "ChannelDropArgs",
    "ColorJitterArgs",
    "GaussianBlurArgs",
    "GlobalView1Args",
    "LARSArgs",
    "LocalViewArgs",
    "MethodCard",
    "MethodConfig",
    "MultiCropTransformArgs",
    "NormalizeArgs",
    "OptimizerArgs",
    "RandomFlipArgs",
    "RandomResizeArgs",
    "RandomRotationArgs",
    "Requires",
    "RunFacts",
    "SGDArgs",
    "SmallRecipe",
    "SolarizeArgs",
    "TeacherConfig",
    "TransformArgs",
    "ViewSpec",
    "above_zero_to_one",
    "at_least",
    "auto_or",
    "below_one",
    "byol_views",
    "exactly",
    "exported",
    "finite",
    "finite_numbers",
    "fit_queue",
    "hidden_dim",
    "linear_lars",
    "linear_sgd",
    "loss_weight",
    "moco_views",
    "not_empty",
    "not_negative",
    "num_layers",
    "num_prototypes",
    "one_of",
    "output_dim",
    "paper_adamw",
    "positive",
    "predictor_hidden_dim",
    "probability",
    "queue_size",
    "short_adamw",
    "simclr_views",
    "sinkhorn_iterations",
    "swav_views",
    "temperature",
    "transformer_adamw",
    "zero_to_one",
]

"""The contract of pretraining methods.

Shapes: B images on this process, C input channels, H and W pixels, D feature channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from torch import Tensor, nn

from lightly_core.config.options.method import MethodConfig
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.contracts.data import Batch, SampleExtras
from lightly_core.contracts.model import ModelWrapper
from lightly_core.optim.groups import ParameterGroup, default_parameter_groups

C = TypeVar("C", bound=MethodConfig)


@dataclass(frozen=True)
class RunContext:
    """Facts about the run that a method may use.

    Attributes:
        dataset_size: Number of images.
        global_batch_size: Images in one forward over all processes.
        total_steps: Optimizer steps of the whole run.
        steps_per_epoch: Optimizer steps of one epoch.
        world_size: Number of processes.
        input_channels: C.
        num_views: Global views per image.
        image_size: Height and width of a global view in pixels.
        mean: Mean of each channel that `Batch.views` were normalised with, for pixels in [0, 1].
        std: Standard deviation of each channel that `Batch.views` were normalised with.
        method_name: Name of the method as users type it; empty: its class name in lower case.
        view_facts: If views repeat (`MethodConfig.view_period`), all that they depend on, as data
            that JSON can hold. Runs with equal facts get equal views for equal `Batch.view_ids`.
            Otherwise empty.
    """

    dataset_size: int
    global_batch_size: int
    total_steps: int
    steps_per_epoch: int
    world_size: int = 1
    input_channels: int = 3
    num_views: int = 2
    image_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    method_name: str = ""
    view_facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class StepResult:
    """Result of one training step.

    Attributes:
        loss: Scalar with gradient.
        metrics: Scalars by name, detached and on the device, without `.item()`. Loss terms are
            called ``train_loss/<term>``. `Method.scheduled_values` returns scheduled values.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)


class Method(nn.Module, Generic[C], ABC):
    """A pretraining method. It does not depend on trainers, loggers, files or devices.

    A subclass writes `build` and `training_step`. Its config declares the requirements on views,
    batch and backbone (`MethodConfig.requires`), which are checked before it is built.

    Args:
        config: Options of the method, without "auto" values.
        model: Backbone to pretrain; registered as ``self.model``.
        context: Facts of the run.
    """

    def __init__(self, config: C, model: ModelWrapper, context: RunContext) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.context = context
        self.build()

    def build(self) -> None:
        """Create the modules other than the backbone, such as heads.

        ``self.config``, ``self.model`` and ``self.context`` are already set.
        """

    @abstractmethod
    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step, without backward pass and logging.

        Args:
            batch: The views of this process's images.
            step: Number of optimizer steps taken so far.
        """

    def scheduled_values(self, step: int) -> Mapping[str, float]:
        """Return the scheduled values by name. They are logged as ``schedule/<name>``.

        `MethodConfig.schedules` lists the names.
        """
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Split the trainable parameters. By default biases, norms and tokens get no decay."""
        return default_parameter_groups(self)

    def before_step(self, step: int) -> None:
        """Run between backward pass and optimizer step. Gradients may be removed here.

        Gradients are not clipped yet, and with 16-bit precision not unscaled. `step` is the number
        of optimizer steps taken so far.
        """

    def after_step(self, step: int) -> None:
        """Run after each optimizer step: EMA updates, queues. `step` counts the step just taken."""

    def sample_extras(self) -> SampleExtras | None:
        """Return a function that creates `Batch.extras` of an image, such as masks. Default: None.

        It is called in the loader's workers. It must be picklable and hold no tensors of the
        method.
        """
        return None

    def exported_wrapper(self) -> ModelWrapper:
        """Return the network that is exported: the student, or an EMA teacher."""
        return self.model

    # ------------------------------------------------------------------ for subclasses

    @property
    def name(self) -> str:
        """Name of the method as users type it."""
        return self.context.method_name or type(self).__name__.lower()

    def pool(self, images: Tensor) -> Tensor:
        """Return the backbone's pooled features (B, D) of images (B, C, H, W)."""
        pooled = self.model.forward_pool(self.model.forward_features(images))["pooled_features"]
        return pooled.flatten(1)

    @property
    def token_model(self) -> TokenModel:
        """The backbone of a method that requires the capability ``tokens``."""
        return cast(TokenModel, self.model)

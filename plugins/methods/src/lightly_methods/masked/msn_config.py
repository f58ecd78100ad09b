"""Options of MSN (Assran et al. 2022, https://arxiv.org/abs/2204.07141)."""

from __future__ import annotations

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import (
    ColorJitterArgs,
    GaussianBlurArgs,
    LocalViewArgs,
    MethodCard,
    MultiCropTransformArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    Requires,
    TeacherConfig,
    at_least,
    below_one,
    hidden_dim,
    not_negative,
    num_prototypes,
    output_dim,
    paper_adamw,
    positive,
)


@define(frozen=True, kw_only=True)
class MSNConfig(TeacherConfig):
    """Options of MSN. The defaults are the paper's for ViT-S."""

    shardable = True

    card = MethodCard(
        paper="Assran et al. 2022",
        arxiv="2204.07141",
        teacher="average",
        memory="prototypes",
        use="frozen features, few labels",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images=2, whole_patches=True)
    metrics = ("train_loss/cross_entropy", "train_loss/regularization")
    # The teacher's view, a global view and ten local views for the student.
    views = MultiCropTransformArgs(
        num_views=2,
        random_resize=RandomResizeArgs(min_scale=0.3, max_scale=1.0),
        random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0),
        color_jitter=ColorJitterArgs(
            prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
        ),
        random_gray_scale=0.2,
        gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
        solarize=None,
        local_view=LocalViewArgs(
            num_views=10,
            view_size=96,
            random_resize=RandomResizeArgs(min_scale=0.05, max_scale=0.3),
            gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
        ),
    )
    optimizers = {
        "adamw": paper_adamw(1e-3, 1024, weight_decay=0.04, weight_decay_end=0.4, warmup_epochs=15),
    }
    target_steps = 100_000  # 80 epochs of ImageNet at the paper's batch of 1024
    gradient_clip_val = 3.0

    mask_ratio: float = field(
        default=0.15,
        validator=below_one,
        metadata={
            "help": "fraction of the patches to remove from the student's global views; the "
            "paper has 0.15 for ViT-S, 0.3 for ViT-B and 0.7 for ViT-L"
        },
    )
    num_prototypes: int = num_prototypes(1024)
    hidden_dim: int = hidden_dim(2048, "head")
    output_dim: int = output_dim(256, "views and prototypes")
    batch_norm: bool = field(
        default=True, metadata={"help": "batch norm after the head's hidden layers"}
    )
    temperature: float = field(
        default=0.1,
        validator=positive,
        metadata={
            "help": "temperature of the student's softmax, and of the teacher's before sharpening",
            "aliases": ("student_temp",),
        },
    )
    target_sharpen_temperature: float = field(
        default=0.25,
        validator=positive,
        metadata={"help": "the teacher's probabilities are raised to 1 / this; 1: no sharpening"},
    )
    sinkhorn_iterations: int = field(
        default=3,
        validator=ge(0),
        metadata={"help": "iterations that assign equally many images to each prototype; 0: none"},
    )
    regularization_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of the term that keeps all prototypes in use"},
    )

    def requirements(self) -> Requires:
        """Return two images per process if the head has batch norms."""
        return evolve(self.requires, images_per_process=2 if self.batch_norm else 1)

"""What is measured in the first hour, and the files that hold it."""

from __future__ import annotations

from pathlib import Path

from attrs import define

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "first-hour.csv"
LABELS_FILE = ROOT / "docs" / "first-hour-labels.csv"
#: Where a fine-tuning without pretraining starts.
SCRATCH = "scratch"


@define(frozen=True, kw_only=True)
class Result:
    """A run of the first hour. Accuracies are in percent, of the test images.

    Attributes:
        case: Name of data set and network.
        images_seen: Training images times epochs.
        method: Method.
        recipe: Recipe.
        seed: Seed.
        untrained: kNN top-1 of the network before training.
        knn: The same after training.
        untrained_linear: Top-1 of a linear classifier before training.
        linear: The same after training.
        num_test: Test images.
        minutes: Time of the training.
        commit: Commit that was measured.
    """

    case: str
    images_seen: int
    method: str
    recipe: str
    seed: int
    untrained: float
    knn: float
    untrained_linear: float
    linear: float
    num_test: int
    minutes: float
    commit: str

    @property
    def key(self) -> tuple[str, int, str, str, int]:
        """What identifies a run."""
        return self.case, self.images_seen, self.method, self.recipe, self.seed


@define(frozen=True, kw_only=True)
class Tuned:
    """A fine-tuned network.

    Attributes:
        case: Name of data set and network.
        images_seen: Images that the pretraining saw; 0: none.
        labels: Labelled training images.
        start: Method and recipe of the pretraining, or "scratch".
        seed: Seed of pretraining and fine-tuning.
        top1: Accuracy on the test images in percent.
        num_test: Test images.
    """

    case: str
    images_seen: int
    labels: int
    start: str
    seed: int
    top1: float
    num_test: int

    @property
    def key(self) -> tuple[str, int, int, str, int]:
        """What identifies a fine-tuning."""
        return self.case, self.labels, self.images_seen, self.start, self.seed

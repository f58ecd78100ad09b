"""What fine-tuning with few labels measures, and the file that holds it."""

from __future__ import annotations

from pathlib import Path

from attrs import define

ROOT = Path(__file__).parents[2]
LABELS_FILE = ROOT / "docs" / "first-hour-labels.csv"
#: Where a fine-tuning without pretraining starts.
SCRATCH = "scratch"


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

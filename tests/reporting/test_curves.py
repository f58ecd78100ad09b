"""Which metrics share a chart, and what it is called."""

from pathlib import Path

from lightly_core.reporting.curves import charts_of
from lightly_core.reporting.reading import RunData


def titles(*runs):
    """The title of each chart of runs with these metrics, with the metrics in it."""
    made = [RunData(Path("run"), "run", metrics={n: [(1, 0.5)] for n in names}) for names in runs]
    return {chart.title: [curve.name for curve in chart.curves] for chart in charts_of(made)}


def test_metrics_with_the_same_first_part_share_a_chart():
    names = ["train_loss", "knn/top1", "knn/top5", "dino/global", "dino/local", "koleo/loss", "kl"]
    assert titles(names) == {
        "Loss": ["train_loss"],
        "Accuracy": ["knn/top1", "knn/top5"],
        "dino": ["dino/global", "dino/local"],
        "kl": ["kl"],
        "koleo/loss": ["koleo/loss"],  # alone in its chart, which gets its whole name
    }


def test_several_runs_have_a_chart_for_each_metric():
    assert titles(["train_loss", "dino/global", "dino/local"], ["train_loss", "dino/global"]) == {
        "Loss": ["train_loss", "train_loss"],
        "dino/global": ["dino/global", "dino/global"],
        "dino/local": ["dino/local"],
    }

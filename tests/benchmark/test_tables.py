import csv
import math

import pytest

from lightly_core.benchmarking.measured import read_curves, read_measured
from lightly_core.benchmarking.results import row_results, summary
from lightly_core.benchmarking.table import markdown, write_csv

SEED_COLUMNS = [
    "Model", "Backbone", "Batch Size", "Epochs", "kNN Top 1", "Linear Top1", "Linear Top5",
    "Finetune Top1", "Finetune Top5", "Runtime", "GPU Memory",
]  # fmt: skip


@pytest.fixture
def finished(load, made, training):
    """The small suite with one row that has finished and one that waits."""
    suite = load()
    made(suite, "simclr-b64", training(device_memory=1_540_000_000))
    return suite


def cells(page):
    lines = [line for line in page.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def test_markdown_has_the_published_columns_first_and_leaves_out_empty_ones(finished):
    page = markdown(finished, row_results(finished), "lightly benchmark x.toml")
    first, second = cells(page)
    filled = [title for title in SEED_COLUMNS if "Finetune" not in title]
    assert list(first)[: len(filled)] == filled
    assert first == {
        "Model": "simclr",
        "Backbone": "timm/test_resnet",
        "Batch Size": "64",
        "Epochs": "4",
        "kNN Top 1": "50.0",
        "Linear Top1": "70.0",
        "Linear Top5": "95.0",
        "Runtime": "1.5 Min",
        "GPU Memory": "1.5 GByte",
        "kNN Top 1, max over epochs": "60.0",
        "kNN Top 1, untrained": "30.0",
        "Published kNN Top 1": "50.0",
    }
    assert (second["Epochs"], second["kNN Top 1"]) == ("2", "-")
    assert "lightly benchmark x.toml" in page
    assert "- simclr-b128-e2: not run yet" in page
    assert "k = 20" in page


def test_accuracies_have_their_standard_error_in_markdown_only(load, made, evaluation, tmp_path):
    suite = load("only=simclr-b64")
    # 49 of 98 images: with one correct and one wrong answer added, sqrt(0.5 * 0.5 / 100).
    results = [{**result, "data": {"num_val": 98}} for result in evaluation(knn=0.5)]
    made(suite, "simclr-b64", evaluation=results)
    page = markdown(suite, row_results(suite), "")
    assert cells(page)[0]["kNN Top 1"] == "50.0 ± 5.0"
    assert "± is the standard error" in page
    assert "98 classified images are too few to tell differences below 14.1 points" in page
    write_csv(row_results(suite), tmp_path / "results.csv")
    assert ",50.00," in (tmp_path / "results.csv").read_text()


def test_accuracies_of_the_curve_have_the_error_of_its_images(load, made, training, evaluation):
    suite = load("only=simclr-b64")
    made(suite, "simclr-b64", training(knn_images=98), evaluation(knn=0.5))
    (result,) = results = row_results(suite)
    (row,) = cells(markdown(suite, results, ""))
    # (0.3 * 98 + 1) / 100 = 0.304, (0.6 * 98 + 1) / 100 = 0.598; `evaluate` has no count here.
    untrained = f"30.0 ± {100 * math.sqrt(0.304 * 0.696 / 100):.1f}"
    best = f"60.0 ± {100 * math.sqrt(0.598 * 0.402 / 100):.1f}"
    assert row["kNN Top 1, untrained"] == untrained
    assert row["kNN Top 1, max over epochs"] == best
    assert row["kNN Top 1"] == "50.0"
    assert f"kNN 50.0 %, untrained {untrained} %, linear" in summary(result, None)
    assert f"{untrained} %" in results._repr_html_()


def test_csv_has_all_columns_with_bare_numbers(finished, tmp_path):
    write_csv(row_results(finished), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first)[: len(SEED_COLUMNS)] == SEED_COLUMNS
    assert first["Runtime"] == "1.50"
    assert first["GPU Memory"] == "1.54"
    assert first["Finetune Top1"] == ""
    assert (first["Row"], first["State"]) == ("simclr-b64", "finished")
    assert second["State"] == "waiting"


FINETUNED = {"protocol": "finetune", "settings": {}, "top1": 0.81, "top5": 0.97, "device": "cpu"}
PUBLISHED = {
    "knn_top1": ("kNN Top 1", 0.11),
    "linear_top1": ("Linear Top1", 0.12),
    "linear_top5": ("Linear Top5", 0.13),
    "finetune_top1": ("Finetune Top1", 0.14),
    "finetune_top5": ("Finetune Top5", 0.15),
}


def test_each_accuracy_stands_in_its_own_column(load, made, evaluation, tmp_path):
    reference = ", ".join(f"{name} = {value}" for name, (_, value) in PUBLISHED.items())
    suite = load(text=f"[[rows]]\nmethod = 'simclr'\nname = 'a'\nreference = {{ {reference} }}\n")
    made(suite, "a", evaluation=[*evaluation(), FINETUNED])
    write_csv(row_results(suite), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    titles = [title for title, _ in PUBLISHED.values()]
    assert [row[title] for title in titles] == ["50.00", "70.00", "95.00", "81.00", "97.00"]
    published = [row[f"Published {title}"] for title in titles]
    assert published == ["11.00", "12.00", "13.00", "14.00", "15.00"]


def test_a_failure_is_a_note_and_its_training_is_still_shown(load, made):
    suite = load("only=simclr-b64")
    folder = made(suite, "simclr-b64")
    folder.result.unlink()
    folder.evaluation.unlink()
    folder.failure.write_text('{"error": "out of memory\\n  try less"}')
    page = markdown(suite, row_results(suite), "")
    assert "failed: out of memory; try less (see simclr-b64/worker.log)" in page
    assert cells(page)[0]["kNN Top 1"] == "50.0"  # the last point of the curve


@pytest.mark.slow
def test_a_collapse_and_methods_left_out_are_notes(load, made, training):
    suite = load("methods=all", 'skip={dino="not here"}', "only=simclr-b64")
    made(suite, "simclr-b64", training(notes=["the features have collapsed"]))
    page = markdown(suite, row_results(suite), "")
    assert "- simclr-b64: the features have collapsed" in page
    assert "- dino is skipped: not here" in page


def test_curves_count_epochs_and_take_the_last_of_repeated_steps(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"step": 0, "knn/top1": 0.1, "linear/top1": 0.2}\n'
        '{"step": 5, "train_loss": 1.0}\n'
        '{"step": 10, "knn/top1": 0.3}\n{"step": 10, "knn/top1": 0.4}\n'
        '{"step": 20, "knn/top1": null}\n{"step": 30, "kn'
    )
    assert read_curves(file, steps_per_epoch=10) == {
        "knn/top1": ((0.0, 0.1), (1.0, 0.4)),
        "linear/top1": ((0.0, 0.2),),
    }


def test_scores_come_from_the_evaluation_and_the_best_from_the_curve(training, evaluation):
    curve = training(curve=((0, 0.9), (1, 0.4), (2, 0.3)))
    scores = read_measured(curve, evaluation(knn=0.35, k=20), 20).scores
    assert (scores.knn_top1, scores.knn_max, scores.knn_untrained) == (0.35, 0.4, 0.9)
    assert scores.linear_top5 == 0.95
    assert read_measured(curve, evaluation(k=20), 200).scores.knn_top1 == 0.3
    assert read_measured(training(curve=()), [], None).scores.knn_top1 is None

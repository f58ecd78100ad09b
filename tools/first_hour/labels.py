"""Label efficiency: fine-tuning with few labels, from scratch and from a pretrained network.

``python -m tools.first_hour.labels --data FOLDER --case cifar5k --methods simclr`` fine-tunes the
networks of earlier runs of `python -m tools.first_hour` and appends the results to
`docs/first-hour-labels.csv`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import lightly_core
from examples.subset import make_subset
from tools.first_hour import records
from tools.first_hour.cases import CASES, Case
from tools.first_hour.results import LABELS_FILE, SCRATCH, Tuned

FRACTIONS = (0.01, 0.1, 1.0)
#: Every fine-tuning makes about as many steps, so that few labels are not trained for less.
STEPS, BATCH = 600, 64


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m tools.first_hour.labels", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the archives")
    parser.add_argument("--out", type=Path, default=Path("out/first-hour"), help="folder of runs")
    parser.add_argument("--case", required=True, choices=CASES, help="data set and network")
    parser.add_argument("--images-seen", type=int, default=200_000, help="budget of the runs")
    parser.add_argument("--methods", nargs="+", required=True, help="methods that were run")
    parser.add_argument("--recipe", default="small", help="recipe of the runs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    case = CASES[options.case]
    runs = options.out / case.name / f"{options.images_seen}-{options.seed}"
    starts: dict[str, Path | None] = {SCRATCH: None}
    for method in options.methods:
        name = f"{method}-{options.recipe}"
        starts[name] = runs / name / "run" / "exported_models" / "exported_last.safetensors"
    found = []
    for fraction in FRACTIONS:
        for start, weights in starts.items():
            found.append(_tune(case, start, weights, fraction, options))
            print(found[-1], flush=True)
    records.add(Tuned, found, LABELS_FILE)


def _tune(
    case: Case, start: str, weights: Path | None, fraction: float, options: argparse.Namespace
) -> Tuned:
    places = case.data(options.data, options.out)
    per_class = max(1, round(fraction * case.images / 10))
    train = Path(places["train"])
    labelled = train.with_name(f"{train.name}-labelled-{per_class}")
    if not labelled.is_dir():
        make_subset(train, labelled, per_class)
    result = lightly_core.evaluate(
        model=case.model,
        model_args=case.run.get("model_args"),
        checkpoint=None if weights is None else str(weights),
        image_size=case.side,
        data=str(labelled),
        val_data=places["val"],
        knn=False,
        linear=False,
        finetune={
            "optim": "adamw",
            "lr": 1e-3,
            "epochs": math.ceil(STEPS * BATCH / (10 * per_class)),
            "batch_size": min(BATCH, 10 * per_class),
            "min_scale": 0.4,
        },
        seed=options.seed,
    )
    return Tuned(
        case=case.name,
        images_seen=0 if weights is None else options.images_seen,
        start=start,
        seed=options.seed,
        labels=10 * per_class,
        top1=round(100 * result.top1("finetune"), 2),
        num_test=case.num_test,
    )


if __name__ == "__main__":
    main()

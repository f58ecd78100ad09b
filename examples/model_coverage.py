"""Check many backbones of every library, and write the results to one Markdown page per library.

    python examples/model_coverage.py --out docs/model-coverage

A model passes if it meets these conformance checks: a feature map of the dimension that it declares
(W1), at two image sizes or with an error that names the only one (W2), pooled features (W3), a
gradient for each parameter that these depend on (W4), and an export whose printed code builds the
model again with every tensor equal (E1).

Checked are all models of torchvision, DINOv2 and DINOv3, the smallest of each family of timm, and
one of each generation and task of Ultralytics. `lightly models` lists the others. This takes about
an hour on two cores. `--library timm` checks only one library.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import nn

from lightly_core.contracts import ModelLibrary, ModelWrapper
from lightly_core.contracts.capabilities import MultiScaleFeatures, TokenModel
from lightly_core.listing import list_models
from lightly_core.models.probing import freeze_unused, probe, unfreeze
from lightly_core.models.wrapping import build_model, get_wrapped_model
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.testing import require_export_round_trip, wrapper_checks

#: Columns of the table by the code of the check.
CHECKS = {"W1": "features", "W2": "sizes", "W3": "pooled", "W4": "gradient", "E1": "export"}
_SIZES = (64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)


@dataclass
class Row:
    """The results of one model.

    Attributes:
        model: Name with library.
        group: Family or generation.
        millions: Parameters of the whole model, in millions.
        feature_dim: D.
        grid: Height and width of the feature map, and the image size.
        capabilities: Capabilities of the model.
        trained: Fraction of the parameters that the features depend on.
        failures: Errors by column.
        notes: Text by column that replaces "ok".
        skipped: Why the model was not checked; empty if it was.
    """

    model: str
    group: str
    millions: float = 0.0
    feature_dim: int = 0
    grid: str = ""
    capabilities: str = ""
    trained: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    skipped: str = ""


# ------------------------------------------------------------------------- which models


def torchvision_models() -> Iterator[tuple[str, str]]:
    """Yield name and family of every classification model."""
    for name in list_models("torchvision/*"):
        yield name, re.sub(r"[_\d].*", "", name.partition("/")[2])


def timm_models() -> Iterator[tuple[str, str]]:
    """Yield the model with the fewest parameters of each family."""
    from lightly_timm.coverage import families, smallest_model

    for family in families():
        name, _ = smallest_model(family)
        yield f"timm/{name}", family


def ultralytics_models() -> Iterator[tuple[str, str]]:
    """Yield the smallest model of each generation and task, without weights."""
    groups: dict[str, dict[str, str]] = {}
    for name in list_models("ultralytics/*.yaml"):
        match = re.fullmatch(r"ultralytics/(yolov?\d+|rtdetr)-?([a-z]?)((?:-.*)?)\.yaml", name)
        if match is not None:
            groups.setdefault(match[1] + match[3], {})[match[2]] = name
    for group, by_size in groups.items():
        yield by_size[min(by_size, key="ntsmblcxe".index)], group


def dinov2_models() -> Iterator[tuple[str, str]]:
    """Yield the architectures without published weights, which would have to be downloaded."""
    for name in list_models("dinov2/*-notpretrained"):
        yield name, "DINOv2"


def dinov3_models() -> Iterator[tuple[str, str]]:
    """Yield the architectures without published weights, which would have to be downloaded."""
    for name in list_models("dinov3/*-notpretrained"):
        yield name, "DINOv3 ConvNeXt" if "convnext" in name else "DINOv3 ViT"


LIBRARIES = {
    "torchvision": torchvision_models,
    "timm": timm_models,
    "ultralytics": ultralytics_models,
    "dinov2": dinov2_models,
    "dinov3": dinov3_models,
}

# ------------------------------------------------------------------------- checks


def check_model(model: str, group: str, most_millions: float) -> Row:
    """Check one model. Errors are recorded in the row."""
    row = Row(model, group)
    try:
        row.millions = _millions(model)
        if row.millions > most_millions:
            row.skipped = f"more than {most_millions:.0f} M parameters"
            return row
        built = build_model(model, catalog=get_plugins().catalog)
        size = _describe(row, built.wrapper)
    except Exception as error:  # it is shown in the table
        row.failures["build"] = _one_line(error)
        return row
    # One wrapper for all checks, because none of these compares it with a new one.
    checks = wrapper_checks(lambda: built.wrapper, image_size=size)
    wanted: dict[str, Callable[[], object]] = {
        CHECKS[check.code]: check for check in checks if check.code in CHECKS
    }
    wanted["export"] = lambda: require_export_round_trip(built)
    for column, check in wanted.items():
        try:
            check()
        except Exception as error:
            if column == "sizes" and _has_one_grid(built.wrapper, size):
                row.notes[column] = "one grid"
            else:
                row.failures[column] = _one_line(error)
    gc.collect()
    return row


def _describe(row: Row, wrapper: ModelWrapper) -> int:
    """Fill in the columns that describe the model; return an image size that it accepts."""
    module = cast(nn.Module, wrapper)
    row.feature_dim = wrapper.feature_dim()
    size = _size(wrapper)
    rows, columns = probe(wrapper, 3, size).feature_size
    row.grid = f"{rows}x{columns} at {size}"
    having = {"tokens": TokenModel, "multi-scale": MultiScaleFeatures}
    row.capabilities = ", ".join(text for text, kind in having.items() if isinstance(wrapper, kind))
    unused = freeze_unused(wrapper, 3, size)
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    row.trained = f"{sum(n for n, on in counts if on) / sum(n for n, _ in counts):.0%}"
    unfreeze(wrapper, unused)
    return size


def _has_one_grid(wrapper: ModelWrapper, size: int) -> bool:
    """Return whether the model resizes all images to one size itself."""
    grids = {probe(wrapper, 3, other).feature_size for other in (size, 2 * size, 3 * size)}
    return len(grids) == 1


def _millions(model: str) -> float:
    """Count the parameters, on the meta device if the model can be built there."""
    catalog = get_plugins().catalog
    # Tensors that a library creates at import must not be on the meta device.
    library = cast(type[ModelLibrary], load_target(catalog.get("models", model.partition("/")[0])))
    library().names()
    try:
        with torch.device("meta"):
            wrapper = get_wrapped_model(model)
    except Exception:
        wrapper = get_wrapped_model(model)
    return sum(p.numel() for p in cast(nn.Module, wrapper.get_model()).parameters()) / 1e6


def _size(wrapper: ModelWrapper) -> int:
    """Return the smallest common image size that gives a feature map of more than one position."""
    reason: Exception | None = None
    sizes: tuple[int, ...] = _SIZES
    if isinstance(wrapper, TokenModel):
        side = wrapper.patch_size()
        sizes = (-(-sizes[0] // side) * side, *sizes)  # best a multiple
    for size in sizes:
        try:
            if min(probe(wrapper, 3, size).feature_size) > 1:
                return size
        except Exception as error:
            reason = error
    raise reason or ValueError(f"one position only at {sizes}")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:160]


# ------------------------------------------------------------------------- page


def page(library: str, rows: list[Row]) -> str:
    """Return the Markdown page of a library."""
    distribution = "timm" if library.startswith("dino") else library
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", distribution)]
    tried = [row for row in rows if not row.skipped]
    passed = sum(not row.failures for row in tried)
    columns = ["model", "group", "M parameters", "dim", "grid", "capabilities", "trained"]
    lines = [
        f"# {library}: {passed} of {len(tried)} models pass",
        "",
        "Generated by `python examples/model_coverage.py --out docs/model-coverage`, which lists",
        f"the checks, with {' and '.join(versions)}. *dim* is the feature dimension. *trained*",
        "is the fraction of parameters that the features depend on. The others belong to the",
        "classifier or the detection head. *one grid*: the model resizes all images to one size",
        "itself.",
        "",
        f"| {' | '.join([*columns, *CHECKS.values()])} |",
        "|---" * (len(columns) + len(CHECKS)) + "|",
    ]
    return "\n".join([*lines, *map(_line, rows), ""])


def _line(row: Row) -> str:
    cells = [row.model, row.group, f"{row.millions:.1f}"]
    if row.skipped or "build" in row.failures:
        reason = row.skipped or row.failures["build"]
        return f"| {' | '.join(cells)} | {reason} |" + " |" * (3 + len(CHECKS))
    cells += [str(row.feature_dim), row.grid, row.capabilities, row.trained]
    results = {**row.notes, **row.failures}
    cells += [results.get(column, "ok") for column in CHECKS.values()]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for the pages; default: print them")
    parser.add_argument(
        "--library", action="append", choices=LIBRARIES, help="check only this; may be repeated"
    )
    parser.add_argument("--most-millions", type=float, default=700, help="skip larger models")
    parser.add_argument("--pattern", default="", help="check models whose name contains this")
    options = parser.parse_args()
    failed = False
    for library in options.library or LIBRARIES:
        rows = []
        for model, group in LIBRARIES[library]():
            if options.pattern in model:
                start = time.perf_counter()
                row = check_model(model, group, options.most_millions)
                seconds = time.perf_counter() - start
                state = row.skipped or row.failures or "ok"
                print(f"{model}: {state}, {seconds:.0f} s", file=sys.stderr, flush=True)
                rows.append(row)
        failed = failed or any(row.failures for row in rows)
        text = page(library, rows)
        if options.out is None:
            print(text)
        else:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / f"{library}.md").write_text(text)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()

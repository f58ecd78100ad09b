"""What `lightly methods NAME` says about a method, from its record and its option classes."""

from __future__ import annotations

from collections.abc import Iterator

from lightly_core.cli.describing import licence_and_requirements
from lightly_core.cli.table import print_table
from lightly_core.config.docs.method_table import (
    COSTS,
    REFERENCE,
    read_costs,
    relative_costs,
    views_text,
)
from lightly_core.config.docs.tables import rows
from lightly_core.config.options.fields import default_of, settings_fields
from lightly_core.config.options.method import MethodConfig, small_recipe
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.short_runs import FIRST_EPOCHS, LEAST_SEEN, SHORT_RUN_IMAGES
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import MethodRecord
from lightly_core.terminal import definitions, fit, fold, prose_width


def print_method(catalog: Catalog, record: MethodRecord) -> None:
    """Print all that is known of a method.

    Args:
        catalog: What the plugins provide.
        record: The method.
    """
    config = load_config(record)
    width = prose_width()
    pairs = list(_names(catalog, record))
    if issubclass(config, MethodConfig):
        pairs += [*_card(config), *_defaults(config), *_cost(record)]
    pairs += licence_and_requirements(record)
    head = fold(f"{record.name} ({record.owner}): {record.summary}", width)
    print("\n".join([*head, *definitions(pairs, width)]))
    options = list(rows(config, ""))
    if options:
        print("\noptions, as method_args.NAME=VALUE:")
        print_table(
            ("NAME", "TYPE", "DEFAULT", "DESCRIPTION"),
            [(option.name, option.type, option.default, option.help) for option in options],
        )
    print("", *fit(_examples(catalog, record, config), width), sep="\n")


def _examples(catalog: Catalog, record: MethodRecord, config: type) -> str:
    name, model = catalog.usable_name(record), _example_model(catalog, config)
    given = f"out=out/{record.name} data=path/to/images model={model} method={name}"
    return f"  lightly run {given}\n  lightly run method={name} --help"


def _names(catalog: Catalog, record: MethodRecord) -> Iterator[tuple[str, str]]:
    if record.alias_of is not None:
        yield "runs", record.alias_of
    others = [
        other.name
        for other in catalog.records("method")
        if other.distribution == record.distribution and other.alias_of == record.name
    ]
    if others:
        yield "other names", ", ".join(others)


def _card(config: type[MethodConfig]) -> Iterator[tuple[str, str]]:
    card = config.card
    if card is not None:
        yield "paper", f"{card.paper}, {card.url or f'https://arxiv.org/abs/{card.arxiv}'}"
        yield "when to use it", card.use
        yield (
            "teacher",
            {"none": "none", "average": "an average of the student"}.get(
                card.teacher, "a trained network, which is not changed"
            ),
        )
        if card.memory:
            yield "keeps", card.memory
        if card.needs:
            yield "needs", card.needs
    for number, sentence in enumerate(config().requirements().sentences()):
        yield ("" if number else "requires"), sentence


def _defaults(config: type[MethodConfig]) -> Iterator[tuple[str, str]]:
    sizes = [spec.size for spec in config.default_transform().view_specs()]
    pixels = " and ".join(dict.fromkeys(f"{height} x {width}" for height, width in sizes))
    yield "views", f"{views_text(config)} of {pixels} pixels"
    optimizer = config.default_optimizer(config.optimizer)
    decay = f", weight decay {optimizer.weight_decay:g}" if optimizer.weight_decay else ""
    scaled = {"linear": "times batch size / ", "sqrt": "times the square root of batch size / "}
    factor = scaled.get(optimizer.lr_scale_method)
    rate = f"{optimizer.lr:g}" + (f" {factor}{optimizer.reference_batch_size}" if factor else "")
    yield "optimizer", f"{config.optimizer}, learning rate {rate}{decay}"
    size = next(default_of(f) for f in settings_fields(RunConfig) if f.name == "batch_size")
    yield "batch size", f"{size}, as for all methods"
    yield (
        "epochs",
        f"for {config.target_steps:,} steps; with few images {FIRST_EPOCHS}, or more where these "
        f"see fewer than {LEAST_SEEN:,}",
    )
    small = small_recipe(config)
    if small is not None:
        yield (
            "short runs",
            f"other values where fewer than {SHORT_RUN_IMAGES:,} images are seen, among them "
            f"optim={small.optimizer}; recipe=paper keeps those above",
        )


def _cost(record: MethodRecord) -> Iterator[tuple[str, str]]:
    step, memory = relative_costs(record.alias_of or record.name, read_costs(COSTS))
    if step:
        yield (
            "cost of a step",
            (f"time {step}, memory {memory} of {REFERENCE}, on a CPU / on a GPU"),
        )


def _example_model(catalog: Catalog, config: type) -> str:
    """Return the name of a model with the capability that a method needs."""
    needed = None
    if issubclass(config, MethodConfig):
        requires = config().requirements()
        needed = "tokens" if requires.whole_patches else requires.capability
    libraries = catalog.records("models")
    if needed is not None:
        for record in libraries:
            if record.capabilities.get(needed):
                return f"{catalog.usable_name(record)}/{record.capabilities[needed][0]}"
    if any(record.name == "torchvision" for record in libraries):
        return "torchvision/resnet18"
    return "LIBRARY/NAME"

"""Names the first thing to change in a run, from what its steps cost."""

from __future__ import annotations

import math
from collections.abc import Callable

from lightly_core.engine.profile.costs import Made, StepCosts
from lightly_core.engine.profile.profiler import Part

#: Sides up to which images may be kept in memory, see docs/images-in-memory.md.
_MEMORY_SIDE = 128
_MAX_WORKERS = 16


def advice(costs: StepCosts) -> str:
    """Return one sentence: what bounds the steps, and the setting to change first.

    Of the parts other than the network, the one that takes most time counts if its share reaches
    its limit.
    """
    found: list[tuple[float, Callable[[StepCosts], str]]] = []
    for parts, least, text in _LIMITS:
        share = costs.share(*parts)
        if share >= least:
            found.append((share, text))
    if not found:
        return _network(costs)
    return max(found, key=lambda pair: pair[0])[1](costs)


def _loader(costs: StepCosts) -> str:
    waiting = f"Loader-bound: a step waits {_percent(costs, 'data')} of its time for data"
    made = costs.made
    if made is None:
        return f"{waiting}, though images are in memory; use fewer or smaller views"
    if made.megapixels * 1e6 <= _MEMORY_SIDE**2:
        return f"{waiting}; set in_memory=true if all images have the same size"
    free = min(max(costs.cpus - 1, 1), _MAX_WORKERS)
    if costs.num_workers < free and (costs.num_workers or costs.cpus > 1):
        rest = max(costs.total - costs.seconds["data"], 1e-9)
        needed = min(max(math.ceil(made.seconds / rest), costs.num_workers + 1), free)
        return f"{waiting}; raise num_workers from {costs.num_workers} to {needed}"
    return f"{waiting}, and no processor is free for more workers; {_less_work(made)}"


def _less_work(made: Made) -> str:
    if made.read < made.views:
        return "use fewer or smaller views, or a machine with more processors"
    if made.megapixels >= 1:
        return (
            f"store the images smaller: they have {made.megapixels:.1f} megapixels, and reading "
            f"takes {made.read / made.seconds:.0%} of the loading"
        )
    return "use a machine with more processors: most of the loading is reading the files"


def _views(costs: StepCosts) -> str:
    text = f"Bound by the second stage of the views ({_percent(costs, 'views')} of a step)"
    if costs.device == "cpu" and not costs.opencv:
        return f"{text}; install OpenCV: pip install 'lightly-core[opencv]'"
    return (
        f"{text}; switch off what your images do not need, such as transform_args.gaussian_blur "
        "or transform_args.color_jitter, or use smaller views"
    )


def _between(costs: StepCosts) -> str:
    return (
        f"Bound by saving and measuring ({_percent(costs, 'between')} of the time); do so less "
        "often, by callbacks.model_checkpoint.every_n_epochs, callbacks.knn.every_n_epochs and "
        "callbacks.signals.every_n_epochs"
    )


def _transfer(costs: StepCosts) -> str:
    return (
        f"Bound by the transfer to the device ({_percent(costs, 'transfer')} of a step); use "
        "fewer or smaller views"
    )


def _framework(costs: StepCosts) -> str:
    return (
        f"The steps are so short that the framework takes {_percent(costs, 'rest')}; raise "
        "batch_size"
    )


def _update(costs: StepCosts) -> str:
    return (
        f"Bound by the optimizer ({_percent(costs, 'update')} of a step); raise batch_size or "
        "gradient_accumulation_steps, so that it steps less often"
    )


def _network(costs: StepCosts) -> str:
    text = f"Bound by the network ({_percent(costs, 'forward', 'backward')} of a step)"
    if costs.native_bf16 and costs.precision == "32-true":
        return f"{text}; set precision=bf16-mixed, which this device computes natively"
    if costs.device == "cpu":
        return f"{text}; use a GPU, a smaller model or smaller views"
    return f"{text}; use a smaller model or smaller views, or more devices"


def _percent(costs: StepCosts, *parts: Part) -> str:
    return f"{100 * costs.share(*parts):.0f} %"


#: Parts, the fraction of a step from which they are worth a change, and what to change.
_LIMITS: tuple[tuple[tuple[Part, ...], float, Callable[[StepCosts], str]], ...] = (
    (("data",), 0.1, _loader),
    (("views",), 0.3, _views),
    (("between",), 0.2, _between),
    (("transfer",), 0.1, _transfer),
    (("rest",), 0.1, _framework),
    (("update",), 0.3, _update),
)

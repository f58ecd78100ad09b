"""What lightly-distillation adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, MethodRecord, hookimpl

LIGHTLY_API = 2

_SUMMARIES = {
    "distillationv1": "Place each image among earlier ones as a teacher does.",
    "distillationv2": "Predict a teacher's features at every position of the image.",
    "distillationv3": "Compare images, and the parts of each image, as a teacher does.",
}
_DEFAULT = "distillationv2"


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the three versions, and the one that ``distillation`` means."""
    for name, summary in _SUMMARIES.items():
        _register(catalog, name, name, summary, alias_of=None)
    summary = f"Learn from a large trained model; recommended. Runs {_DEFAULT}."
    _register(catalog, "distillation", _DEFAULT, summary, alias_of=_DEFAULT)


def _register(
    catalog: Catalog, name: str, version: str, summary: str, alias_of: str | None
) -> None:
    class_name = version.replace("distillation", "Distillation").replace("v", "V")
    catalog.add(
        MethodRecord(
            name=name,
            target=f"lightly_distillation.method:{class_name}",
            config=f"lightly_distillation.config:{class_name}Config",
            summary=summary,
            alias_of=alias_of,
        )
    )

"""What lightly-ultralytics adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, FormatRecord, ModelsRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the models."""
    catalog.add(
        ModelsRecord(
            name="ultralytics",
            target="lightly_ultralytics.library:UltralyticsLibrary",
            names="lightly_ultralytics:models.txt",
            wraps=("ultralytics",),
            requires=("ultralytics>=8.4",),
            complete=False,
            capabilities={"multi_scale": ("yolo11n.yaml", "yolov8n.yaml", "rtdetr-l.yaml")},
            facts="lightly_ultralytics:facts.csv",
            weights=(
                ("*.yaml", "random"),
                ("*", "the file, which Ultralytics downloads if it is missing"),
            ),
            summary="YOLO and RT-DETR models of Ultralytics, by name or from a .pt or .yaml file.",
            licence="AGPL-3.0",
        )
    )
    catalog.add(
        FormatRecord(
            name="ultralytics",
            target="lightly_ultralytics.exporting:UltralyticsFile",
            summary="The file that YOLO(path) or RTDETR(path) of ultralytics loads.",
            suffixes=(".pt",),
            parts=("model",),
        )
    )

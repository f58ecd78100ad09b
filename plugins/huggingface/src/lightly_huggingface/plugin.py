"""What lightly-huggingface adds. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, SourceRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the data source."""
    catalog.add(
        SourceRecord(
            name="huggingface",
            target="lightly_huggingface.library:HuggingFaceDatasets",
            config="lightly_huggingface.config:HuggingFaceArgs",
            check="lightly_huggingface.places:problems",
            summary="Data sets of Hugging Face: of the hub, saved ones, parquet files.",
            schemes=("hf",),
            suffixes=(".parquet",),
        )
    )

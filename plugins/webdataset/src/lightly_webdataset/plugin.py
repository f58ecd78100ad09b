"""What lightly-webdataset adds. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, SourceRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the data source."""
    catalog.add(
        SourceRecord(
            name="webdataset",
            target="lightly_webdataset.library:WebDatasetLibrary",
            config="lightly_webdataset.config:WebDatasetArgs",
            check="lightly_webdataset.places:problems",
            summary="Shards of WebDataset: local tar files, URLs, outputs of commands.",
            schemes=("wds",),
            suffixes=(".tar",),
        )
    )

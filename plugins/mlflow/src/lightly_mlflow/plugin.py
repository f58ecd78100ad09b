"""What lightly-mlflow adds. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, LoggerRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the logger."""
    catalog.add(
        LoggerRecord(
            name="mlflow",
            target="lightly_mlflow.logger:MlflowLogger",
            config="lightly_mlflow.config:MlflowArgs",
            summary="An MLflow server; off unless switched on.",
        )
    )

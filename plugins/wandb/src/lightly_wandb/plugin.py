"""What lightly-wandb adds. Imported at every start, so it imports nothing heavy."""

from lightly_core import Catalog, LoggerRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the logger."""
    catalog.add(
        LoggerRecord(
            name="wandb",
            target="lightly_wandb.logger:WandbLogger",
            config="lightly_wandb.config:WandbArgs",
            summary="Weights & Biases, online or offline; off unless switched on.",
        )
    )

"""The logger."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from lightly_core.contracts import ExportedModel
from lightly_core.engine.remote import RemoteLogger
from lightly_wandb.account import require_account
from lightly_wandb.config import WandbArgs
from lightly_wandb.destination import WandbDestination

#: Folder of the exported files in the run folder.
EXPORTED = "exported_models"


class WandbLogger(RemoteLogger):
    """Records a run at Weights & Biases.

    Args:
        config: Options of the logger.
        folder: The run folder.
        resume_step: Step from which a run is resumed; None: a new run.
    """

    name: ClassVar[str] = "wandb"
    config: WandbArgs

    @classmethod
    def check(cls, config: WandbArgs) -> None:
        """Refuse to log online without an account."""
        require_account(config)

    @classmethod
    def make_destination(cls, config: WandbArgs, folder: Path) -> WandbDestination:
        """Return the destination."""
        return WandbDestination(config, folder)

    def log_artifact(self, path: Path) -> None:
        """Record a file. With ``log_model`` the exported files are in their artifact only."""
        if not (self.config.log_model and path.parent == self.folder / EXPORTED):
            super().log_artifact(path)

    def log_model(self, model: ExportedModel) -> None:
        """Record the exported files as an artifact with versions, if the options say so."""
        if self.config.log_model:
            self.put_model(self.folder / EXPORTED)

"""Passes records to W&B's own library, whose process writes and sends them."""

from __future__ import annotations

import glob
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightly_core.engine.remote import (
    LOGGER_FOLDER,
    Artifact,
    Config,
    Destination,
    Image,
    Metrics,
    Model,
    Variables,
)
from lightly_core.errors import RunError
from lightly_wandb.account import is_offline
from lightly_wandb.config import WandbArgs
from lightly_wandb.server import require_answer

if TYPE_CHECKING:
    import wandb

#: Project of runs that name none.
DEFAULT_PROJECT = "lightly"
#: Exit code that W&B gets, by the status of our run. W&B shows 0 as finished, others as failed.
EXIT_CODES = {"finished": 0, "interrupted": 130, "failed": 1}
#: Variables of W&B while a run sends. Those that the user has set are kept.
_VARIABLES = {
    "WANDB_ERROR_REPORTING": "false",  # W&B's makers would get reports of errors
    "WANDB_SILENT": "true",
}
#: Ending that W&B gives to the name of a file of records that is sent.
_SYNCED = ".synced"


class WandbDestination(Destination):
    """One run at W&B.

    Args:
        config: Options of the logger.
        folder: The run folder.
    """

    def __init__(self, config: WandbArgs, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._run: wandb.Run | None = None
        self._sent_before = -1
        self._has_failed = False
        self._variables = Variables(_VARIABLES)
        self.address = "files" if is_offline(config) else "Weights & Biases"

    @property
    def run(self) -> wandb.Run:
        """The run. It exists while records are sent."""
        assert self._run is not None
        return self._run

    def open(self, identity: Mapping[str, str]) -> Mapping[str, str]:
        """Create the run, or continue it.

        W&B creates a run once in a process, and keeps what it has accepted in its file of records.
        After a failure the rest is left to `lightly send`.
        """
        if self._has_failed:
            raise ConnectionError(
                "W&B's own process has failed or gave up; `lightly send` goes on after the run"
            )
        run_id = self._config.id or identity.get("id") or identity["key"][:12]
        is_continued = "id" in identity
        if "file" in identity:
            self._send_file_of_records(self._folder / identity["file"])
        if not is_offline(self._config):
            require_answer(self._config.request_timeout)
        self._sent_before = int(identity.get("last_step", -1)) if is_continued else -1
        self._has_failed = True  # until this call and all further ones have succeeded
        self._run = self._init(run_id, "allow" if is_continued else self._config.resume)
        offline = is_offline(self._config)
        self.address = str(self._run.dir if offline else self._run.url or self.address)
        file = Path(str(self._run.settings.sync_file))
        inside = file.relative_to(self._folder) if file.is_relative_to(self._folder) else file
        return {"id": run_id, "address": self.address, "file": str(inside)}

    def _init(self, run_id: str, resume: str | None) -> wandb.Run:
        import wandb

        config = self._config
        directory = self._folder / LOGGER_FOLDER
        if config.save_dir is not None:
            directory = Path(config.save_dir).expanduser().absolute()
        directory.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=config.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
            entity=config.entity,
            id=run_id,
            name=config.name,
            group=config.group,
            tags=config.tags,
            notes=config.notes,
            dir=str(directory),
            mode=config.wanted_mode,  # type: ignore[arg-type]
            resume=resume,  # type: ignore[arg-type]
            reinit="create_new",  # a run of the user's own in this process goes on
            settings=wandb.Settings(**_settings(config)),
        )

    def _send_file_of_records(self, file: Path) -> None:
        """Send the file of an earlier part of the run, whose end the server did not get."""
        if is_offline(self._config) or not file.is_file() or _marker(file).exists():
            return
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", "--include-online", str(file)],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "WANDB_DIR": str(file.parent)},  # of its own log
        )
        if done.returncode != 0:
            raise RunError(f"`wandb sync {file}` failed: {(done.stderr or done.stdout)[-300:]}")
        _marker(file).touch()

    # ------------------------------------------------------------------ records

    def send_metrics(self, rows: Sequence[Metrics]) -> None:
        """Record scalars. W&B keeps the first values of a step that is repeated."""
        for row in rows:
            if row.step <= self._sent_before or row.step < self.run.step:
                continue
            values: dict[str, Any] = {
                self._config.prefix + name: value for name, value in row.values.items()
            }
            self.run.log({**values, "_timestamp": row.time / 1000}, step=row.step)

    def send_config(self, config: Config) -> None:
        """Record the settings, with names joined by dots."""
        self.run.config.update(  # type: ignore[no-untyped-call]
            flat(config.values), allow_val_change=True
        )

    def send_image(self, image: Image) -> None:
        """Record an image."""
        import wandb
        from PIL import Image as PillowImage

        if image.step <= self._sent_before or image.step < self.run.step:
            return
        opened = PillowImage.open(io.BytesIO(image.png))
        self.run.log({image.name: wandb.Image(opened)}, step=image.step)

    def send_artifact(self, artifact: Artifact) -> None:
        """Record a file under its path below the run folder."""
        path = artifact.path
        base = self._folder if path.is_relative_to(self._folder) else path.parent
        self.run.save(glob.escape(str(path)), base_path=str(base), policy="now")

    def send_model(self, model: Model) -> None:
        """Record the exported files as an artifact of type ``model``."""
        import wandb

        name = self._config.checkpoint_name or f"model-{self.run.id}"
        artifact = wandb.Artifact(name, type="model")
        for file in sorted(model.path.glob("exported_*")):
            artifact.add_file(str(file), name=file.name)
        self.run.log_artifact(artifact)

    def finish(self, status: str, time: int) -> None:
        """End the run, and wait for a limited time until W&B has sent everything.

        Raises:
            TimeoutError: It has not. W&B's file of records then has the whole run.
        """
        file = Path(str(self.run.settings.sync_file))
        self.run.summary["status"] = status
        self.run.finish(exit_code=EXIT_CODES[status])
        self._has_failed = False
        if not is_offline(self._config):
            _marker(file).touch()

    def close(self) -> None:
        """Restore the environment variables."""
        self._variables.restore()


def flat(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested settings with names joined by dots. An empty group stays as it is."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            values.update(flat(value, f"{name}."))
        else:
            values[name] = value
    return values


def _settings(config: WandbArgs) -> dict[str, Any]:
    return {
        "init_timeout": config.request_timeout,
        "login_timeout": config.request_timeout,
        "finish_timeout": max(config.finish_timeout, 0.1),
        "finish_timeout_raises": True,
        "silent": True,
        # Console, command line and code are not part of a record. They may hold passwords.
        "console": "off",
        "disable_code": True,
        "disable_git": True,
        "disable_job_creation": True,
        "save_code": False,
        "x_disable_machine_info": not config.log_system_metrics,
        "x_disable_meta": True,
        "x_disable_stats": not config.log_system_metrics,
        "x_save_requirements": False,
    }


def _marker(file: Path) -> Path:
    return file.with_name(file.name + _SYNCED)

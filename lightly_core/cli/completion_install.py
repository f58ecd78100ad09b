"""Writes the script of `lightly completion` to where a shell of the user finds it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from lightly_core.atomic import atomic_path
from lightly_core.cli.completion_scripts import SCRIPTS
from lightly_core.errors import ConfigError


def install_script(shell: str) -> Iterator[str]:
    """Write the script, and for bash and zsh a line in the user's file that loads it.

    The script replaces an earlier one. The line is added at the end of the user's file if it is not
    there. Everything else in that file stays as it is.

    Args:
        shell: A key of `SCRIPTS`.

    Yields:
        One line for each file, which says what was done.

    Raises:
        ConfigError: A file cannot be written.
    """
    script = _script_file(shell)
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(script) as temporary:
            temporary.write_text(SCRIPTS[shell], encoding="utf-8")
        yield f"written to {script}"
        startup = _startup_file(shell)
        if startup is not None:
            yield from _load_in(startup, script)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the completion of {shell} cannot be installed: {error}"
            f"\n  write `lightly completion {shell} > FILE`, and load the file where {shell} starts"
        ) from None
    yield f"start a new {shell} to use it"


def _load_in(startup: Path, script: Path) -> Iterator[str]:
    place = shlex.quote(str(script))
    line = f"[ -r {place} ] && . {place}  # completion of lightly"
    text = startup.read_text(encoding="utf-8") if startup.exists() else ""
    if line in text.splitlines():
        yield f"{startup} loads it already"
        return
    with startup.open("a", encoding="utf-8") as file:
        file.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")
    yield f"a line that loads it was added to {startup}"


def _script_file(shell: str) -> Path:
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = {
        "bash": data / "bash-completion/completions/lightly",
        "zsh": data / "zsh/site-functions/_lightly",
        "fish": config / "fish/completions/lightly.fish",
    }
    return files[shell]


def _startup_file(shell: str) -> Path | None:
    """Return the file that an interactive shell reads; None: it finds the script itself."""
    zsh = Path(os.environ.get("ZDOTDIR") or Path.home())
    return {"bash": Path.home() / ".bashrc", "zsh": zsh / ".zshrc", "fish": None}[shell]

"""Whether there is an account for W&B, without asking its server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit

from lightly_core.errors import ConfigError
from lightly_wandb.config import WandbArgs
from lightly_wandb.server import DEFAULT_SERVER


def is_offline(config: WandbArgs, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether records stay on this machine."""
    mode = config.wanted_mode or environment.get("WANDB_MODE", "online")
    return mode not in ("online", "run", "shared")


def require_account(config: WandbArgs, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to log online without an account, since W&B would ask for it in the run.

    Raises:
        ConfigError: There is no key.
    """
    if is_offline(config, environment) or _has_key(environment):
        return
    raise ConfigError(
        "there is no key for Weights & Biases: set WANDB_API_KEY, or run `wandb login`; or set "
        "mode=offline, which writes files that `wandb sync` can send later"
    )


def _has_key(environment: Mapping[str, str]) -> bool:
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    folder = environment.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    if Path(folder, "settings").expanduser().is_file():
        return True  # it may name another server, or a key
    host = urlsplit(environment.get("WANDB_BASE_URL") or DEFAULT_SERVER).hostname or ""
    for file in (environment.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if file and netrc(str(Path(file).expanduser())).authenticators(host) is not None:
                return True
        except (OSError, NetrcParseError):
            continue
    return False

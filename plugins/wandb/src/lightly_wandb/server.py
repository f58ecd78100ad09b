"""Asks whether the server of W&B answers, before W&B's own library tries to reach it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request

#: Server of W&B if the environment names no other one.
DEFAULT_SERVER = "https://api.wandb.ai"


def server_address() -> str:
    """Return the address of the server."""
    return (os.environ.get("WANDB_BASE_URL") or DEFAULT_SERVER).rstrip("/")


def require_answer(seconds: float) -> None:
    """Raise an error if the server does not answer, or answers that it has failed.

    W&B refuses a second attempt to create a run in a process, so the first one has to work.

    Args:
        seconds: Longest time to wait.

    Raises:
        ConnectionError: There is no answer.
    """
    address = server_address()
    if not address.startswith(("http://", "https://")):
        raise ConnectionError(f"WANDB_BASE_URL is '{address}', expected an address with http")
    request = urllib.request.Request(f"{address}/graphql", data=b"{}", method="POST")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            pass
    except urllib.error.HTTPError as error:
        if error.code >= 500:  # with any other answer, such as 401, the server is there
            raise ConnectionError(f"{address} answers {error.code}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{address} does not answer: {reason}") from error

"""What `in_memory` came to: whether all images are decoded once and kept."""

from __future__ import annotations

from typing import Literal

from attrs import define


@define(frozen=True, kw_only=True)
class MemoryChoice:
    """Whether images are kept in memory.

    Attributes:
        use: Whether they are, as far as a look at a few images tells.
        required: Whether it is an error where the rest of the images do not allow it.
        reason: Why, for the user.
    """

    use: bool
    required: bool = False
    reason: str


def unseen(setting: bool | Literal["auto"]) -> MemoryChoice:
    """Return the choice where nobody has looked at the images: what the user says, else not."""
    if setting == "auto":
        return MemoryChoice(use=False, reason="the images were not looked at")
    return MemoryChoice(use=setting, required=setting, reason=f"in_memory={str(setting).lower()}")

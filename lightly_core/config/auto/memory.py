"""The resolved value of `in_memory`: whether all decoded images are kept in memory."""

from __future__ import annotations

from typing import Literal

from attrs import define


@define(frozen=True, kw_only=True)
class MemoryChoice:
    """Whether images are kept in memory.

    Attributes:
        use: Whether they are kept, decided from a few of the images.
        required: Whether it is an error if the other images do not allow it.
        reason: Reason of the decision, for the user.
    """

    use: bool
    required: bool = False
    reason: str


def unseen(setting: bool | Literal["auto"]) -> MemoryChoice:
    """Return the choice without reading any image: the user's, and False for "auto"."""
    if setting == "auto":
        return MemoryChoice(use=False, reason="no image was read to decide")
    return MemoryChoice(use=setting, required=setting, reason=f"in_memory={str(setting).lower()}")

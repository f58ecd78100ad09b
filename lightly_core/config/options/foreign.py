"""Keys of other programs that an option class refuses by name, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define


@define(frozen=True)
class ForeignKey:
    """A key that users of another program may give, and that has no meaning here.

    An option class lists such keys in its class attribute `FOREIGN_KEYS`.

    Attributes:
        reason: What happens instead, and what to do.
        neutral: Values that ask for what happens anyway. They are accepted and dropped.
    """

    reason: str
    neutral: tuple[object, ...] = ()

    def accepts(self, value: object) -> bool:
        """Return whether a value asks for what happens anyway."""
        return any(type(value) is type(one) and value == one for one in self.neutral)


def foreign_keys(cls: type) -> Mapping[str, ForeignKey]:
    """Return the keys that an option class refuses by name."""
    keys: Mapping[str, ForeignKey] = getattr(cls, "FOREIGN_KEYS", {})
    return keys

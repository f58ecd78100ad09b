"""What a dry run has found out about a run."""

from __future__ import annotations

from attrs import frozen

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.reading.load import Settings
from lightly_core.engine.plan.size import RunSize


@frozen(kw_only=True)
class Plan:
    """A run that was checked and not started.

    Attributes:
        settings: The user's settings.
        resolved: The same without "auto".
        size: Parameters and memory; None: the networks were not built.
    """

    settings: Settings
    resolved: Resolved
    size: RunSize | None = None

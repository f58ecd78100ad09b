"""Options of images behind URLs, written after the URL: ``s3://bucket/images?cache_size=50``."""

from __future__ import annotations

from attrs import define, field

from lightly_core.config.options.checks import not_negative


@define(frozen=True, kw_only=True)
class RemoteDataArgs:
    """How images behind URLs are read. Accounts are set as fsspec takes them."""

    cache_size: float = field(
        default=20.0,
        validator=not_negative,
        metadata={"help": "GiB of images that are kept on this machine; 0: none are kept"},
    )

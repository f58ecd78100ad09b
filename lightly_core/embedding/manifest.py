"""What the features of a folder were computed from, so that a later call continues them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightly_core.atomic import atomic_path
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.data.base import ImageSource
from lightly_core.data.fingerprint import contents
from lightly_core.embedding.checks import MANIFEST
from lightly_core.errors import ConfigError
from lightly_core.evaluation.backbone import Backbone

#: Settings that the features depend on, beside those of the network.
_SETTINGS = ("features", "l2_normalize", "batch_size", "shard_size")
_FORMAT = "lightly features 1"
#: Key of the files, which are listed when all of them are complete.
_FILES = "files"


@dataclass(frozen=True)
class Manifest:
    """The facts that the features of a folder depend on.

    Attributes:
        facts: Facts about network, images and settings, as plain data.
    """

    facts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, config: EmbedConfig, backbone: Backbone, source: ImageSource) -> Manifest:
        """Collect the facts. The names of all images and the content of some are hashed."""
        transform = backbone.transform
        network = {key: value for key, value in backbone.facts().items() if key != "file"}
        network |= {
            "interpolation": transform.interpolation,
            "num_channels": transform.source_channels,
        }
        facts = {
            "network": network,
            "images": {"number": len(source), **contents(source)},
            "settings": {name: getattr(config, name) for name in _SETTINGS},
        }
        return cls(json.loads(json.dumps(facts)))

    @property
    def identity(self) -> str:
        """The first 16 hexadecimal digits of the sha256 of the facts."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()[:16]

    def begin(self, folder: Path, overwrite: bool) -> None:
        """Write the facts to a folder, unless an earlier call has written the same.

        Several processes may call it at once.

        Raises:
            ConfigError: The folder has features of other settings, weights or images, and
                `overwrite` is false. Nothing was written.
        """
        path = folder / MANIFEST
        before = _read(path)
        if before is not None and before.get("identity") == self.identity:
            return
        if before is not None and not overwrite:
            changed = "".join(f"\n  {text}" for text in self._changes(before))
            raise ConfigError(
                f"config.out: '{folder}' has features of other settings, weights or images; choose "
                f"another folder, or set overwrite=true to replace them{changed}"
            )
        self._write(path, {})

    def finish(self, folder: Path, files: Sequence[Mapping[str, object]]) -> None:
        """Add the list of complete files: name, rows, and images that cannot be read."""
        content: dict[str, object] = {
            "rows": sum(int(str(file["rows"])) for file in files),
            "skipped": sum(int(str(file["skipped"])) for file in files),
            _FILES: list(files),
        }
        before = _read(folder / MANIFEST)
        if before is None or before.get(_FILES) != content[_FILES]:
            self._write(folder / MANIFEST, content)

    def _write(self, path: Path, more: Mapping[str, object]) -> None:
        content = {"format": _FORMAT, "identity": self.identity, **self.facts, **more}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _changes(self, before: Mapping[str, Any]) -> Iterator[str]:
        for group, facts in self.facts.items():
            old = before.get(group)
            old = old if isinstance(old, dict) else {}
            for name in {**old, **facts}:
                if old.get(name) != facts.get(name):
                    yield f"{group}: {name} was {_shown(old, name)}, is {_shown(facts, name)}"


def _shown(facts: Mapping[str, Any], name: str) -> str:
    return json.dumps(facts[name]) if name in facts else "not set"


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a manifest; None if there is none. A damaged one has no content."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

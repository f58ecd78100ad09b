"""The functions of `import lightly_core`. Nothing heavy is imported before settings are checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.config.docs import pretrain_signature
from lightly_core.listing import list_methods, list_models, list_plugins

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lightly_core.config.settings import RunConfig
    from lightly_core.config.signature import RunSettings
    from lightly_core.engine.result import RunResult

__all__ = [
    "RunResult",
    "list_methods",
    "list_models",
    "list_plugins",
    "pretrain",
    "run",
    "train",
]


def pretrain(**settings: Unpack[RunSettings]) -> RunResult:
    """Pretrain a backbone on unlabelled images.

    Every argument is a setting of `docs/settings.md`; `out`, `data` and `model` are required.
    With several processes, call it below ``if __name__ == "__main__":``.

    Returns:
        Folder, metrics and exported files of the run.

    Raises:
        ConfigError: Settings are wrong; all mistakes are named at once, and nothing was written.
        PluginError: A plugin that is needed cannot be used.
        DataError: The images cannot be used.
        RunError: Training cannot go on.
        RunInterrupted: Ctrl-C or SIGTERM; `checkpoints/last.ckpt` was written before.
    """
    result = _pretrain(arguments=settings)
    assert result is not None  # only a dry run has no result
    return result


run = pretrain


def train(**settings: Unpack[RunSettings]) -> RunResult:
    """Call `pretrain`; deprecated name."""
    warnings.warn("train() is deprecated, use lightly_core.pretrain()", FutureWarning, stacklevel=2)
    return pretrain(**settings)


def pretrain_from_command_line(
    config_file: str | None, pairs: Sequence[str], dry_run: bool
) -> None:
    """Run `lightly run`; raises as `pretrain` does."""
    _pretrain(config_file=config_file, pairs=pairs, dry_run=dry_run)


def _pretrain(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
    dry_run: bool = False,
) -> RunResult | None:
    from lightly_core.config.load import load_settings
    from lightly_core.data.check import check_data
    from lightly_core.plugins.discovery import get_plugins

    plugins = get_plugins()
    settings = load_settings(
        catalog=plugins.catalog,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(_out_problems, check_data),
    )
    from lightly_core.engine.run import execute

    return execute(settings, plugins, dry_run=dry_run)


def _out_problems(run: RunConfig) -> list[str]:
    from lightly_core.engine.folder import RunFolder
    from lightly_core.engine.rank import is_first_process

    # Further processes start when the first has made the folder already.
    if not is_first_process():
        return []
    resume = run.resume_interrupted or bool(run.resume)
    return RunFolder(run.out).problems(overwrite=run.overwrite, resume=resume)


def __getattr__(name: str) -> object:
    """Import `RunResult` when it is first used."""
    if name == "RunResult":
        from lightly_core.engine.result import RunResult

        return RunResult
    raise AttributeError(f"module 'lightly_core.api' has no attribute '{name}'")


for _function in (pretrain, train):
    _function.__signature__ = pretrain_signature()  # type: ignore[attr-defined]

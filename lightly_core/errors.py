"""What can go wrong on the user's side. Every message says: received, expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11


class LightlyError(Exception):
    """Base of all errors that are meant for the user.

    The command line prints them without traceback.
    """


class ConfigError(LightlyError):
    """One or more settings are wrong. The command line exits with code 2.

    Args:
        message: Text for the user.

    Attributes:
        problems: One line for each mistake; the message alone where there is only one.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = (message,)

    @classmethod
    def of(cls, problems: Iterable[str]) -> Self:
        """Make one error of all the mistakes that were found.

        Args:
            problems: At least one text, in the order in which they are shown.
        """
        problems = tuple(problems)
        if len(problems) == 1:
            return cls(problems[0])
        message = "\n".join([f"{len(problems)} settings are wrong:", *problems])
        error = cls(message.replace("\n", "\n  "))
        error.problems = problems
        return error


class UnknownModelError(ConfigError):
    """No installed plugin provides the model that was asked for."""


class MissingCapabilityError(ConfigError):
    """The model lacks a capability (`lightly_core.contracts.capabilities`) that is needed."""


class PluginError(LightlyError):
    """A plugin that was asked for cannot be used: broken, blocked, incompatible or ambiguous."""


class DataError(LightlyError):
    """The images cannot be used: none found, too many unreadable, wrong kind."""


class RunError(LightlyError):
    """Training cannot go on, for example because the loss is no longer finite."""


class RunInterrupted(SystemExit):
    """A signal stopped a run, such as Ctrl-C or SIGTERM.

    Where the run was training, `last.ckpt` was written before this is raised.

    Not a `LightlyError`: like `KeyboardInterrupt` it must pass every ``except Exception``. A script
    that does not catch it ends with exit code 130.

    Args:
        message: Text for the user.
    """

    def __init__(self, message: str = "stopped") -> None:
        super().__init__(message)
        self.code = 130


def near_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names that `name` may be a misspelling of, the nearest first.

    Upper and lower case are the same here, and so are ``-`` and ``_``.
    """
    import difflib  # late: the command line starts without it

    def form(word: str) -> str:
        return word.lower().replace("-", "_")

    by_form = {form(word): word for word in known}
    return [by_form[near] for near in difflib.get_close_matches(form(name), by_form, n=most)]


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """Return ``did you mean 'a' or 'b'?`` where known names are near, else an empty text."""
    near = " or ".join(f"'{word}'" for word in near_names(name, known, most))
    return f"did you mean {near}?" if near else ""


def unknown_model(
    library: str, name: str, known: Iterable[str], *, listing: str = ""
) -> UnknownModelError:
    """Return the error for a name that a model library does not have.

    Args:
        library: The library as messages name it, such as ``timm 1.0.31``.
        name: The name that was received, without the library's prefix.
        known: The names of its models.
        listing: Where to see all of them. By default the message lists them.
    """
    known = list(known)
    lines = [
        f"{library} has no model {name!r}",
        did_you_mean(name, known, most=3),
        listing or f"known: {', '.join(known)}",
    ]
    return UnknownModelError("\n  ".join(line for line in lines if line))


def unknown_model_args(
    model: str, unknown: Sequence[str], known: Iterable[str], *, expected: str
) -> ConfigError:
    """Return the error for keys of ``model_args`` that a model does not take.

    Args:
        model: Full name of the model.
        unknown: The keys that were received, at least one.
        known: The keys that the model takes.
        expected: The line that lists them.
    """
    meant = did_you_mean(unknown[0], known)
    hint = f", {meant}" if meant else ""
    return ConfigError(f"unknown model_args of {model}: {', '.join(unknown)}{hint}\n  {expected}")

"""Errors for users. A message names what was received, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11


class LightlyError(Exception):
    """Base class of all errors for users. The command line prints them without traceback."""


class ConfigError(LightlyError):
    """One or more settings are wrong. The command line exits with code 2.

    Args:
        message: Text for the user.

    Attributes:
        problems: One text for each mistake.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = (message,)

    @classmethod
    def of(cls, problems: Iterable[str]) -> Self:
        """Return one error for several mistakes.

        Args:
            problems: At least one text, in the order in which they are printed.
        """
        problems = tuple(problems)
        if len(problems) == 1:
            return cls(problems[0])
        message = "\n".join([f"{len(problems)} settings are wrong:", *problems])
        error = cls(message.replace("\n", "\n  "))
        error.problems = problems
        return error


class UnknownModelError(ConfigError):
    """No installed plugin provides the requested model."""


class MissingCapabilityError(ConfigError):
    """The model lacks a required capability, see `lightly_core.contracts.capabilities`."""


class PluginError(LightlyError):
    """A requested plugin cannot be used: it is broken, blocked, incompatible or ambiguous."""


class DataError(LightlyError):
    """The images cannot be used: none were found, too many are unreadable, or the kind is wrong."""


class RunError(LightlyError):
    """Training cannot continue, for example because the loss is not finite."""


class RunInterrupted(SystemExit):
    """A signal stopped a run, such as Ctrl-C or SIGTERM.

    If the run was training, `last.ckpt` is written before this is raised.

    It is not a `LightlyError`: like `KeyboardInterrupt`, no ``except Exception`` may catch it. A
    script that does not catch it ends with exit code 130.

    Args:
        message: Text for the user.
    """

    def __init__(self, message: str = "stopped") -> None:
        super().__init__(message)
        self.code = 130


def near_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names that are similar to `name`, the most similar first.

    Case is ignored, and ``-`` equals ``_``.
    """
    import difflib  # imported late, as the start of the command line does not need it

    def form(word: str) -> str:
        return word.lower().replace("-", "_")

    by_form = {form(word): word for word in known}
    return [by_form[near] for near in difflib.get_close_matches(form(name), by_form, n=most)]


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """Return ``did you mean 'a' or 'b'?`` with similar known names, or an empty string."""
    near = " or ".join(f"'{word}'" for word in near_names(name, known, most))
    return f"did you mean {near}?" if near else ""


def unknown_model(
    library: str, name: str, known: Iterable[str], *, listing: str = ""
) -> UnknownModelError:
    """Return the error for a name that a model library does not have.

    Args:
        library: Name of the library for the message, such as ``timm 1.0.31``.
        name: The received name, without the library's prefix.
        known: Names of its models.
        listing: Line that explains how to list all models. By default the message lists them.
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
    """Return the error for keys of ``model_args`` that a model does not accept.

    Args:
        model: Full name of the model.
        unknown: The received keys that are unknown, at least one.
        known: The keys that the model accepts.
        expected: Line that lists the known keys.
    """
    meant = did_you_mean(unknown[0], known)
    hint = f", {meant}" if meant else ""
    return ConfigError(f"unknown model_args of {model}: {', '.join(unknown)}{hint}\n  {expected}")

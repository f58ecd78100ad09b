"""What can go wrong on the user's side. Every message says: received, expected, what to do."""


class LightlyError(Exception):
    """Base of all errors that are meant for the user; the command line prints them without traceback."""


class ConfigError(LightlyError):
    """One or more settings are wrong. The command line exits with code 2."""


class UnknownModelError(ConfigError):
    """No installed plugin provides the model that was asked for."""


class PluginError(LightlyError):
    """A plugin that was asked for cannot be used: broken, blocked, incompatible or ambiguous."""


class DataError(LightlyError):
    """The images cannot be used: none found, too many unreadable, wrong kind."""


class RunError(LightlyError):
    """Training cannot go on, for example because the loss is no longer finite."""


class RunInterrupted(BaseException):
    """The user stopped a run (Ctrl-C or SIGTERM); `last.ckpt` has been written before this is raised.

    Not a `LightlyError`: like `KeyboardInterrupt` it must pass every ``except Exception``.
    """

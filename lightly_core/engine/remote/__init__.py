"""Loggers that send to a server: a base class for plugins, which never stops or slows a run.

A plugin writes a `Destination`, which talks to the server, and a `RemoteLogger`, which names it.
Records are appended to a file in the run folder. A thread reads that file and sends it.
"""

from lightly_core.engine.folder import LOGGER_FOLDER
from lightly_core.engine.remote.destination import Destination, RecordRefused
from lightly_core.engine.remote.logger import RemoteLogger
from lightly_core.engine.remote.records import Artifact, Config, Finish, Image, Metrics, Model
from lightly_core.engine.remote.variables import Variables

__all__ = [
    "LOGGER_FOLDER",
    "Artifact",
    "Config",
    "Destination",
    "Finish",
    "Image",
    "Metrics",
    "Model",
    "RecordRefused",
    "RemoteLogger",
    "Variables",
]

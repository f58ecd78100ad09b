"""The part of a remote logger that talks to its server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from lightly_core.engine.remote.records import Artifact, Config, Image, Metrics, Model


class RecordRefused(Exception):
    """The server will never accept this record, such as a file that no longer exists.

    The record is kept in the file of unsent records, and the next ones are sent. Any other
    exception of a `Destination` means that the server is away: the record is sent again later.

    Args:
        reason: Text for the user.
    """


class Destination(ABC):
    """A server, or a library that stores records. The thread of `Sender` calls it.

    Its methods may take long and may raise. Each request needs a time limit of its own. A call may
    be repeated after the server has received it, if its answer was lost, so a second call with the
    same records must change nothing.

    Attributes:
        address: Where records go, for messages. It holds no password.
    """

    address: str = ""

    @abstractmethod
    def open(self, identity: Mapping[str, str]) -> Mapping[str, str]:
        """Connect, and create the remote run or find it again.

        It is called before the first record, and again after each failure.

        Args:
            identity: What earlier calls returned, also those of an interrupted run that is
                resumed. It always has ``key``, a random text by which a remote run can be found
                whose creation was not answered, and ``last_step``, the last step that was sent.

        Returns:
            What identifies the remote run. It is stored in the run folder at once, so it must not
            hold a secret.
        """

    @abstractmethod
    def send_metrics(self, rows: Sequence[Metrics]) -> None:
        """Record scalars, in order.

        A resumed run repeats the steps after its checkpoint. A step that the server has already
        must not be recorded twice.
        """

    def send_config(self, config: Config) -> None:  # noqa: B027 - optional
        """Record the configuration. A resumed run sends it again."""

    def send_image(self, image: Image) -> None:  # noqa: B027 - optional
        """Record an image."""

    def send_artifact(self, artifact: Artifact) -> None:  # noqa: B027 - optional
        """Record a file, or replace the earlier version."""

    def send_model(self, model: Model) -> None:  # noqa: B027 - optional
        """Record the exported backbone in the format of the library."""

    def finish(self, status: str, time: int) -> None:  # noqa: B027 - optional
        """Record the end of the run, after all other records.

        Args:
            status: ``finished``, ``interrupted`` or ``failed``.
            time: When the run ended, in milliseconds since 1970.
        """

    def close(self) -> None:  # noqa: B027 - optional
        """Release threads, connections and changed environment variables. It sends nothing."""

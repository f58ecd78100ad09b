"""A line of the table."""

from attrs import define

from tools.loggers.runs import Outcome

#: Part of the training from which on calls of the logger have waited for a server. The table shows
#: the measured part, which is below 0.02 on an idle machine. On a busy one the time in which others
#: have the processor counts too. One request to a server that hangs takes longer than the training.
MOST_BLOCKED = 0.25


@define
class Row:
    """A line of the table."""

    scenario: str
    outcome: Outcome
    sent_later: int = 0
    problem: str = ""
    seconds_without: float = 0.0

    def cells(self) -> list[str]:
        """Return the texts of the line."""
        outcome = self.outcome
        blocked = outcome.blocked / max(outcome.training, 1e-9)
        return [
            self.scenario,
            str(outcome.rows - outcome.unsent if outcome.unsent < outcome.rows else 0),
            str(outcome.unsent),
            str(self.sent_later),
            self.problem or "yes",
            f"{outcome.seconds:.1f} ({self.seconds_without:.1f})",
            f"{100 * blocked:.2f} %",
            str(len(outcome.warnings)),
        ]

"""A line of the table."""

from attrs import define

from tools.loggers.runs import Outcome

#: Largest part of the training that calls of the logger may take.
MOST_BLOCKED = 0.02


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

"""Shows every step of all progress, as lines."""

from lightly_core import progress


def show_all_progress(monkeypatch):
    """Log a line at each step but the last."""
    monkeypatch.setenv("LIGHTLY_PROGRESS", "lines")
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    for name in ("START_SECONDS", "LOOK_SECONDS", "LINE_SECONDS", "SLOW_LINE_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)

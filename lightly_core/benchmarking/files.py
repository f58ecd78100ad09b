"""Names of the files of a row, and its exit codes, that other parts use too."""

from __future__ import annotations

#: Settings that the row was started with; a folder with this file is that of a row.
ROW_FILE = "row.json"
#: Run folder of the row's training.
ROW_RUN = "run"
#: The error of a row that failed.
FAILURE_FILE = "failure.json"
#: Training and evaluation of a row that has finished.
RESULT_FILE = "result.json"
#: Exit codes of a row's process: it failed, and says why in its files; it was interrupted.
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
#: Values and outcome of a row that is a trial of a sweep.
TRIAL_FILE = "trial.json"
#: Tables of a sweep: its trials, and the settings of the best.
TRIALS_FILE = "trials.csv"
BEST_FILE = "best.toml"

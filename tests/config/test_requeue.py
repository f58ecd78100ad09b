import attrs
import pytest

from lightly_core.config.options.settings import RunConfig
from lightly_core.config.reading.requeue import after_requeue, job_id, requeue_problems

JOB = {"SLURM_JOB_ID": "7"}
ARRAY = {**JOB, "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (JOB, "7"),
        (ARRAY, "5_2"),
        ({**JOB, "SLURM_JOB_NAME": "bash"}, None),
        ({**JOB, "SLURM_JOB_NAME": "train"}, "7"),
    ],
)
def test_the_job_is_named_as_scontrol_takes_it(variables, expected):
    assert job_id(variables) == expected


@pytest.fixture
def run(tmp_path):
    return RunConfig(
        out=str(tmp_path), data="d", model="m", requeue=True, overwrite=True, checkpoint="w.pt"
    )


def test_a_requeued_job_resumes_if_it_has_saved_and_starts_again_if_not(run, tmp_path):
    again = {**JOB, "SLURM_RESTART_COUNT": "1"}
    assert after_requeue(run, again) == run  # overwrite=true, from the given weights
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    resumed = after_requeue(run, again)
    assert (resumed.resume_interrupted, resumed.overwrite, resumed.checkpoint) == (
        True,
        False,
        None,
    )


@pytest.mark.parametrize(
    ("requeue", "variables"),
    [
        (True, JOB),
        (True, {**JOB, "SLURM_RESTART_COUNT": "0"}),
        (True, {"SLURM_RESTART_COUNT": "1"}),
        (False, {**JOB, "SLURM_RESTART_COUNT": "1"}),
    ],
)
def test_other_starts_are_left_as_they_are(run, requeue, variables):
    run = attrs.evolve(run, requeue=requeue, overwrite=False)
    assert after_requeue(run, variables) == run


def test_a_job_that_could_not_go_on_is_refused(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert list(requeue_problems(run)) == []
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    run = attrs.evolve(run, callbacks={"model_checkpoint": None})
    problems = list(requeue_problems(run))
    assert len(problems) == 2
    assert "model_checkpoint=none" in problems[0]
    assert "scontrol" in problems[1]

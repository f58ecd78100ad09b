from pathlib import Path

import pytest

from lightly_core.engine.result import RunResult
from lightly_core.engine.summary import summary_text


@pytest.mark.parametrize(("num_query", "told"), [(6, True), (600, False)])
def test_a_trial_that_is_too_small_is_said_to_be_so(num_query, told):
    result = RunResult(Path("out"), knn_before=1 / 3, knn_after=1 / 6, num_query=num_query)
    text = summary_text(result)
    assert "33.3 % before, 16.7 % after (-16.7 points, standard error " in text
    assert (
        "within two standard errors. More labelled images would show a smaller difference" in text
    ) == told

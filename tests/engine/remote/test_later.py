"""What a run could not send is sent later by the options that the run had."""

import json

import pytest
import remote_logger

from lightly_core.engine.lock import held
from lightly_core.engine.remote.later import send_unsent
from lightly_core.errors import ConfigError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.records import LoggerRecord


@pytest.fixture
def catalog():
    catalog = Catalog()
    with catalog.registering(plugin="list", distribution="list", root="remote_logger"):
        catalog.add(
            LoggerRecord(
                name="list",
                target="remote_logger:ListLogger",
                config="remote_logger:Args",
                summary="A list.",
            )
        )
    return catalog


@pytest.fixture
def unsent(tmp_path):
    """The folder of a run whose server was away."""
    remote_logger.SENT.clear()
    remote_logger.IS_AWAY[:] = [True]
    args = remote_logger.Args(address="http://user:secret@there")
    logger = remote_logger.ListLogger(args, tmp_path, None)
    logger.log_metrics({"loss": 1.0}, 0)
    logger.log_metrics({"loss": 0.5}, 5)
    logger.finish("finished")
    yield tmp_path
    remote_logger.IS_AWAY.clear()


def test_all_is_sent_once_with_the_options_of_the_run(unsent, catalog):
    remote_logger.IS_AWAY.clear()
    (result,) = send_unsent(unsent, catalog)
    assert (result.num_sent, result.num_unsent, result.failure) == (3, 0, "")
    there = "http://there"  # a password is not stored
    assert [(there, 0), (there, 5), (there, "finished")] == remote_logger.SENT
    assert list(send_unsent(unsent, catalog)) == []
    assert json.loads((unsent / "remote.list.json").read_text())["run_id"] == "r1"


def test_options_can_be_given_again(unsent, catalog):
    remote_logger.IS_AWAY.clear()
    list(send_unsent(unsent, catalog, {"list": {"address": "http://user:secret@there"}}))
    assert remote_logger.SENT[0] == ("http://user:secret@there", 0)
    assert "secret" not in "".join(path.read_text() for path in unsent.iterdir())


def test_a_server_that_is_still_away_leaves_everything_for_the_next_time(unsent, catalog):
    (result,) = send_unsent(unsent, catalog)
    assert (result.num_sent, result.num_unsent) == (0, 3)
    assert "nobody answers" in result.failure
    remote_logger.IS_AWAY.clear()
    (result,) = send_unsent(unsent, catalog)
    assert (result.num_sent, result.num_unsent) == (3, 0)


def test_a_wrong_option_is_refused(unsent, catalog):
    with pytest.raises(ConfigError, match="did you mean 'address'"):
        list(send_unsent(unsent, catalog, {"list": {"adress": "x"}}))
    assert remote_logger.SENT == []


@pytest.mark.slow
def test_a_folder_in_use_is_refused(unsent, catalog):
    with held(unsent), pytest.raises(ConfigError):
        list(send_unsent(unsent, catalog))

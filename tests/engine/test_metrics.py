import pytest
import torch

from lightly_core.engine.metrics import MetricBuffer


def test_reading_gives_means_and_starts_anew():
    buffer = MetricBuffer()
    buffer.add({"train_loss": torch.tensor(1.0), "schedule/m": 0.5})
    buffer.add({"train_loss": torch.tensor(2.0), "schedule/m": 0.7})
    assert buffer.read() == pytest.approx({"train_loss": 1.5, "schedule/m": 0.6})
    assert buffer.read() == {}


def test_a_metric_that_is_missing_in_some_steps_is_averaged_over_the_others():
    buffer = MetricBuffer()
    buffer.add({"a": 2.0})
    buffer.add({"a": 4.0, "b": 1.0})
    assert buffer.read() == {"a": 3.0, "b": 1.0}


def test_state_round_trip_keeps_the_mean():
    buffer, other = MetricBuffer(), MetricBuffer()
    buffer.add({"a": torch.tensor(1.0)})
    other.load(buffer.state())
    other.add({"a": torch.tensor(4.0)})
    assert other.read() == {"a": 2.5}


def test_gradients_are_not_kept():
    buffer = MetricBuffer()
    loss = torch.ones(1, requires_grad=True).sum()
    buffer.add({"train_loss": loss})
    assert not buffer._sums["train_loss"].requires_grad

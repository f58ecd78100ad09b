"""What of a graph's shape is fixed, with a made-up torch.export that records in no time."""

from types import SimpleNamespace

import pytest
import torch
from short_run import TinyWrapper

from lightly_core.contracts.format import ExportedNetwork, Preprocessing, Written
from lightly_core.errors import ConfigError
from lightly_core.exporting.formats import graphs

FIXED_SIZE = (
    "The size of the images is fixed at 16 x 24 pixels ({}). For another size, export again with "
    "image_size."
)
FIXED_BATCH = "The number of images is fixed at 2."


class OneSize(TinyWrapper):
    def forward_features(self, x):
        if x.shape[2:] != (16, 24):
            raise ValueError("another size")
        return super().forward_features(x)


def network(wrapper=None):
    wrapper = TinyWrapper(dropout=0.5) if wrapper is None else wrapper
    return ExportedNetwork(
        part="wrapped_model",
        wrapper=wrapper,
        embedding=wrapper,
        library=None,
        name="my/net",
        model_args={},
        preprocessing=Preprocessing(
            size=(16, 24), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear", num_channels=3
        ),
    )


@pytest.fixture
def record(monkeypatch):
    """Call `exported_program` where torch can free only some axes, and can be wrong for others.

    Returns:
        What of the shape is fixed, and the sizes and free axes that were tried.
    """

    def record(possible, wrong=frozenset(), wrapper=None):
        tried = []

        def export(module, args, *, dynamic_shapes, strict):
            shape, axes = args[0].shape, set(dynamic_shapes["images"] or ())
            tried.append((tuple(shape[2:]), axes))
            if not axes <= possible:
                raise RuntimeError(f"\naxes {sorted(axes - possible)} are not free\nmore")

            def run(images):
                other = {axis for axis in range(4) if images.shape[axis] != shape[axis]}
                assert other <= axes, "torch refuses another size of a fixed axis"
                error = 1.0 if other & wrong else 0.0
                return tuple(value + error for value in module(images))

            return SimpleNamespace(module=lambda: run)

        monkeypatch.setattr(torch.export, "export", export)
        torch.manual_seed(0)
        _, written = graphs.exported_program(network(wrapper), "toy")
        return written, tried

    return record


def test_sizes_and_numbers_of_images_are_free_where_torch_can_do_it(record):
    assert record({0, 2, 3}) == (Written(), [((16, 24), {0, 2, 3})])


def test_a_graph_that_is_wrong_for_other_sizes_is_recorded_again_from_another_one(record):
    written, tried = record({0, 2, 3}, wrong={2})
    # The map of features has 4 x 6 positions: two more rows and one more column.
    assert tried == [((16, 24), {0, 2, 3}), ((24, 28), {0, 2, 3}), ((16, 24), {0})]
    reason = "what torch recorded is wrong for others"
    assert written == Written(any_size=False, notes=(FIXED_SIZE.format(reason),))


def test_what_torch_cannot_free_is_fixed_and_the_first_reason_is_told(record):
    written, _ = record({0})
    reason = "torch cannot record it for others: axes [2, 3] are not free"
    assert written == Written(any_size=False, notes=(FIXED_SIZE.format(reason),))
    written, tried = record(set())
    reason = "torch cannot record it for others: axes [0, 2, 3] are not free"
    notes = (FIXED_SIZE.format(reason), FIXED_BATCH)
    assert written == Written(any_size=False, any_batch=False, notes=notes)
    assert tried[-1] == ((16, 24), set())


def test_other_sizes_are_not_tried_for_a_model_of_one_size(record):
    written, tried = record({0, 2, 3}, wrapper=OneSize())
    assert tried == [((16, 24), {0})]
    reason = "the model takes images of one size"
    assert written == Written(any_size=False, notes=(FIXED_SIZE.format(reason),))


def test_what_cannot_be_recorded_at_all_is_refused(monkeypatch):
    def refuse(*arguments, **named):
        raise RuntimeError("no graph")

    monkeypatch.setattr(torch.export, "export", refuse)
    with pytest.raises(ConfigError, match=r"(?s)toy cannot hold my/net: .*no graph\n  use safe"):
        graphs.exported_program(network(), "toy")

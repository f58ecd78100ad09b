"""MoCo v2 and v3."""

import math

import pytest
import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError, MissingCapabilityError
from lightly_core.testing import TinyConv, TinyTokens


def take_step(method, batch, step, lr=0.1):
    method.zero_grad()
    loss = method.training_step(batch, step).loss
    loss.backward()
    with torch.no_grad():
        method.before_step(step)
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= lr * parameter.grad
        method.after_step(step + 1)
    return loss.item()


def plain_info_nce(queries, keys, negatives, temperature):
    """One query at a time; `negatives` holds those of each query."""
    total = 0.0
    for query, key, others in zip(queries, keys, negatives, strict=True):
        right = math.exp(float(F.cosine_similarity(query, key, dim=0)) / temperature)
        wrong = sum(
            math.exp(float(F.cosine_similarity(query, other, dim=0)) / temperature)
            for other in others
        )
        total -= math.log(right / (right + wrong)) / len(queries)
    return total


# ---------------------------------------------------------------------- MoCo v2


@pytest.fixture
def moco(make_case):
    """A method without batch norm, and its batch."""

    def make(name="mocov2", **changes):
        case = make_case(name, wrapper=TinyTokens, temperature=0.3, **changes)
        return case.build(), case.batch()

    return make


def projections(method, batch):
    """Queries and keys of both views, computed by hand."""
    teacher = method.teacher
    with torch.no_grad():
        queries = [method.projectors["image"](method.model(view)) for view in batch.views]
        keys = [teacher["projectors"]["image"](teacher["backbone"](view)) for view in batch.views]
    return queries, keys


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_first_step_compares_with_the_other_images_of_the_batch(moco, symmetric):
    method, batch = moco(symmetric=symmetric)
    queries, keys = projections(method, batch)
    ways = [(queries[0], keys[1]), (queries[1], keys[0])][: 1 + symmetric]
    expected = [
        plain_info_nce(q, k, [[k[j] for j in range(8) if j != i] for i in range(8)], 0.3)
        for q, k in ways
    ]
    loss = method.training_step(batch, 0).loss.item()
    assert loss == pytest.approx(sum(expected) / len(expected), rel=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_later_steps_compare_with_the_queue(moco, symmetric):
    method, batch = moco(symmetric=symmetric)
    for step in range(2):
        take_step(method, batch, step)
    rows = method.queue.rows().clone()
    assert len(rows) == min(24, 16 * (1 + symmetric))
    queries, keys = projections(method, batch)
    ways = [(queries[0], keys[1]), (queries[1], keys[0])][: 1 + symmetric]
    expected = [plain_info_nce(q, k, [rows] * 8, 0.3) for q, k in ways]
    loss = method.training_step(batch, 2).loss.item()
    assert loss == pytest.approx(sum(expected) / len(expected), rel=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_queue_holds_the_keys_of_the_step_in_order(moco, symmetric):
    method, batch = moco(symmetric=symmetric)
    _, keys = projections(method, batch)
    take_step(method, batch, 0)
    expected = torch.cat([keys[1], keys[0]] if symmetric else [keys[1]])
    rows = method.queue.rows()
    torch.testing.assert_close(rows, F.normalize(expected, dim=1))


def test_keys_enter_the_queue_after_the_step_only(moco):
    method, batch = moco(symmetric=True)
    method.training_step(batch, 0).loss.backward()
    assert len(method.queue) == 0
    # With accumulated gradients there are several passes before one step.
    method.training_step(batch, 0).loss.backward()
    with torch.no_grad():
        method.after_step(1)
    assert len(method.queue) == 24


def test_gradient_reaches_the_query_encoder_only(moco):
    method, batch = moco()
    method.training_step(batch, 0).loss.backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    trained = [p for module in method.student().values() for p in module.parameters()]
    assert all(p.grad is not None for p in trained)


def test_the_key_encoder_is_a_moving_average(moco):
    method, batch = moco(momentum_start=0.7, momentum_end=0.7)
    before = [p.clone() for p in method.teacher.parameters()]
    take_step(method, batch, 0)
    student = [p for module in method.student().values() for p in module.parameters()]
    for old, new, own in zip(before, method.teacher.parameters(), student, strict=True):
        torch.testing.assert_close(new, 0.7 * old + 0.3 * own)


@pytest.mark.parametrize("name", ["mocov2", "densecl"])
def test_a_loaded_method_goes_on_exactly(make_case, name):
    case = make_case(name, key_groups=2)
    method, batch = case.build(), case.batch()
    fresh = case.build(seed=1)
    for step in range(4):  # the queue is full and has been wrapped around
        take_step(method, batch, step)
    fresh.load_state_dict(method.state_dict())
    losses = []
    for one in (method, fresh):
        torch.manual_seed(0)
        losses.append([take_step(one, batch, step) for step in range(4, 7)])
    assert losses[0] == losses[1]


class Noting(TinyConv):
    """Notes how many images it is given."""

    def forward_features(self, x):
        self.sizes = [*getattr(self, "sizes", []), len(x)]
        return super().forward_features(x)


@pytest.mark.parametrize(("key_groups", "sizes"), [(1, [8]), (2, [4, 4]), (3, [3, 3, 2])])
def test_the_key_encoder_sees_random_groups(make_case, key_groups, sizes):
    case = make_case("mocov2", wrapper=Noting, key_groups=key_groups)
    method = case.build()
    method.training_step(case.batch(), 0)
    assert method.model.sizes == [8]
    assert method.teacher["backbone"].sizes == sizes


def test_groups_have_at_least_two_images(make_case):
    assert make_case("mocov2", key_groups=8).build().num_groups == 4
    assert make_case("mocov2", key_groups=8).build(world_size=4).num_groups == 1


def test_without_batch_norm_there_are_no_groups(make_case):
    assert make_case("mocov2", wrapper=TinyTokens, key_groups=4).build().num_groups == 1


def test_the_projector_has_no_batch_norm(make_case):
    layers = make_case("mocov2", num_layers=3).build().projectors["image"]
    names = [type(layer).__name__ for layer in layers]
    assert names == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize("name", ["mocov2", "mocov3"])
@pytest.mark.parametrize("export", ["student", "teacher"])
def test_what_is_exported_can_be_chosen(make_case, name, export):
    method = make_case(name, export=export).build()
    expected = method.model if export == "student" else method.teacher["backbone"]
    assert method.exported_wrapper() is expected


# ---------------------------------------------------------------------- MoCo v3


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_moco_v3_is_the_scaled_cross_entropy_of_both_ways(make_case, temperature):
    case = make_case("mocov3", temperature=temperature)
    # With these weights one way finds more keys than the other.
    method, batch = case.build(seed=2), case.batch()
    result = method.training_step(batch, 0)
    queries, keys = [], []
    with torch.no_grad():
        for view in batch.views:
            queries.append(method.predictor(method.projector(method.model(view))))
            keys.append(method.teacher["projector"](method.teacher["backbone"](view)))
    ways = [(queries[0], keys[1]), (queries[1], keys[0])]
    expected = sum(
        2
        * temperature
        * plain_info_nce(q, k, [[k[j] for j in range(8) if j != i] for i in range(8)], temperature)
        for q, k in ways
    )
    assert result.loss.item() == pytest.approx(expected, rel=1e-4)
    nearest = [F.cosine_similarity(q[:, None], k[None], dim=2).argmax(dim=1) for q, k in ways]
    right = [index == i for way in nearest for i, index in enumerate(way.tolist())]
    assert result.metrics["contrast/top1"].item() == pytest.approx(sum(right) / 16)
    assert method.scheduled_values(0) == {"teacher_momentum": method.momentum(0)}


def test_gradient_reaches_no_keys(make_case):
    case = make_case("mocov3")
    method = case.build()
    method.training_step(case.batch(), 0).loss.backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    assert "predictor" not in method.teacher
    trained = [p for p in method.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)


@pytest.mark.parametrize(
    ("options", "projector", "predictor"),
    [({}, 1, False), ({"num_layers": 3, "predictor_norm": True}, 2, True)],
    ids=["resnet", "transformer"],
)
def test_heads_are_those_of_the_paper(make_case, options, projector, predictor):
    method = make_case("mocov3", **options).build()
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    last = ["Linear", "BatchNorm1d"]
    names = [type(layer).__name__ for layer in method.projector]
    assert names == hidden * projector + last
    assert not method.projector[-1].affine
    names = [type(layer).__name__ for layer in method.predictor]
    assert names == hidden + (last if predictor else ["Linear"])


def test_a_frozen_patch_embedding_stays_as_it_is(make_case):
    case = make_case("mocov3", wrapper=TinyTokens, freeze_patch_embed=True)
    method, batch = case.build(), case.batch()
    before = {name: p.clone() for name, p in method.model.named_parameters()}
    take_step(method, batch, 0)
    same = {name for name, p in method.model.named_parameters() if torch.equal(p, before[name])}
    assert same == {"_model.patch_embedding.weight", "_model.patch_embedding.bias"}


def test_the_patch_embedding_is_trained_by_default(make_case):
    case = make_case("mocov3", wrapper=TinyTokens)
    method = case.build()
    before = {name: p.clone() for name, p in method.model.named_parameters()}
    take_step(method, case.batch(), 0)
    assert not any(torch.equal(p, before[name]) for name, p in method.model.named_parameters())


def test_a_convolutional_network_has_no_patch_embedding(make_case):
    with pytest.raises(MissingCapabilityError, match="freeze_patch_embed"):
        make_case("mocov3", freeze_patch_embed=True).build()


def test_a_transformer_without_blocks_is_refused(make_case):
    with pytest.raises(ConfigError, match="where the blocks begin"):
        make_case("mocov3", wrapper=lambda: TinyTokens(depth=1), freeze_patch_embed=True).build()

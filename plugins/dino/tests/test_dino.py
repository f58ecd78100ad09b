import io

import pytest
import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError
from lightly_core.testing import TinyConv, TinyTokens
from lightly_dino.dino import DINO
from lightly_dino.dino_config import DINOConfig
from lightly_dino.simdino import SimDINO
from lightly_dino.simdino_config import SimDINOConfig


def pooled(wrapper, images):
    return wrapper.forward_pool(wrapper.forward_features(images))["pooled_features"].flatten(1)


def plain_dino(method, batch, teacher_temp, student_temp):
    """The paper's pseudocode, one pair of views and one image at a time."""
    teacher, student = method.teacher, method.heads["head"]
    targets = [
        F.softmax((teacher["head"](pooled(teacher["backbone"], view))) / teacher_temp, dim=1)
        for view in batch.views[:2]
    ]
    logits = [student(pooled(method.model, view)) for view in batch.views]
    losses = []
    for t, target in enumerate(targets):
        for s, logit in enumerate(logits):
            if t != s:
                shares = F.softmax(logit / student_temp, dim=1)
                losses += [-(p * q.log()).sum() for p, q in zip(target, shares, strict=True)]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("num_local", [0, 1, 3])
@pytest.mark.parametrize(("teacher_temp", "student_temp"), [(0.04, 0.1), (0.2, 0.3)])
def test_a_step_is_the_loss_of_the_paper(build, make_batch, num_local, teacher_temp, student_temp):
    method = build(
        DINO,
        DINOConfig,
        teacher_temp=teacher_temp,
        warmup_teacher_temp=teacher_temp,
        student_temp=student_temp,
    )
    batch = make_batch(num_local=num_local)
    with torch.no_grad():
        for parameter in method.heads.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    expected = plain_dino(method, batch, teacher_temp, student_temp)
    result = method.training_step(batch, 0)
    torch.testing.assert_close(result.loss, expected, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(result.loss, list(method.model.parameters()))
    wanted = torch.autograd.grad(expected, list(method.model.parameters()))
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-5)


def test_teacher_and_student_begin_equal(build):
    method = build(DINO, DINOConfig)
    for name, module in method.student().items():
        for own, copied in zip(module.parameters(), method.teacher[name].parameters(), strict=True):
            assert torch.equal(own, copied)
            assert own is not copied


@pytest.mark.parametrize("cls", [(DINO, DINOConfig), (SimDINO, SimDINOConfig)])
def test_the_teacher_is_the_moving_average_of_the_student(build, make_batch, cls):
    method = build(*cls, TinyConv(), momentum_start=0.9, momentum_end=1.0)
    expected = {n: p.clone() for n, p in method.teacher.named_parameters()}
    groups = [{"params": group.parameters} for group in method.parameter_groups()]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    for step in range(5):
        method.training_step(make_batch(seed=step), step).loss.backward()
        optimizer.step()
        method.after_step(step + 1)
        m = method.momentum(step)
        student = {
            f"{name}.{inner}": p
            for name, module in method.student().items()
            for inner, p in module.named_parameters()
        }
        expected = {n: m * p + (1 - m) * student[n].detach() for n, p in expected.items()}
    for name, parameter in method.teacher.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    assert method.momentum(0) == pytest.approx(0.9)
    assert method.momentum(39) == pytest.approx(1.0)


def test_the_teacher_gets_no_gradient(build, make_batch):
    method = build(DINO, DINOConfig)
    method.training_step(make_batch(), 0).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)


def test_the_last_layer_stays_in_the_first_steps_and_moves_then(build, make_batch, train):
    method = build(DINO, DINOConfig, freeze_last_layer_steps=2)
    before = method.heads["head"].prototypes.weight.clone()
    train(method, make_batch(), 2)
    assert torch.equal(method.heads["head"].prototypes.weight, before)
    train(method, make_batch(), 1, first=2)
    assert not torch.equal(method.heads["head"].prototypes.weight, before)


@pytest.mark.slow
def test_a_run_goes_on_exactly(build, make_batch, train):
    first = build(DINO, DINOConfig, TinyConv(), anchor_weight=0.3)
    train(first, make_batch(), 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = build(DINO, DINOConfig, TinyConv(feature_dim=32), anchor_weight=0.3, seed=7)
    second.load_state_dict(torch.load(file, weights_only=True))
    # A new optimizer in both: what it remembers is the engine's to save.
    assert train(first, make_batch(seed=1), 3, first=3) == train(
        second, make_batch(seed=1), 3, first=3
    )


def test_the_teacher_sees_global_views_only(build, make_batch):
    method = build(DINO, DINOConfig)
    sizes = []
    method.teacher["backbone"].get_model().patch_embedding.register_forward_pre_hook(
        lambda _, args: sizes.append(tuple(args[0].shape))
    )
    method.training_step(make_batch(num_local=3), 0)
    assert sizes == [(8, 3, 32, 32)]


def test_each_size_goes_through_the_student_once(build, make_batch):
    method = build(DINO, DINOConfig)
    sizes = []
    method.model.get_model().patch_embedding.register_forward_pre_hook(
        lambda _, args: sizes.append(tuple(args[0].shape))
    )
    method.training_step(make_batch(num_local=3), 0)
    assert sizes == [(8, 3, 32, 32), (12, 3, 16, 16)]


def test_the_teacher_is_exported_or_the_student(build):
    method = build(DINO, DINOConfig)
    assert method.exported_wrapper() is method.teacher["backbone"]
    method = build(DINO, DINOConfig, export="student")
    assert method.exported_wrapper() is method.model


def test_metrics_tell_how_sure_the_teacher_is(build, make_batch):
    method = build(DINO, DINOConfig)
    metrics = method.training_step(make_batch(), 0).metrics
    total = metrics["teacher/entropy"] + metrics["teacher/kl"]
    torch.testing.assert_close(metrics["train_loss/dino"], total)


def test_momentum_and_temperature_are_logged(build):
    method = build(DINO, DINOConfig, teacher_temp=0.06, warmup_teacher_temp=0.02)
    first, last = method.scheduled_values(0), method.scheduled_values(39)
    assert first == pytest.approx({"teacher_momentum": 0.99, "teacher_temp": 0.02})
    assert last == pytest.approx({"teacher_momentum": 1.0, "teacher_temp": 0.06})
    assert list(build(SimDINO, SimDINOConfig).scheduled_values(0)) == ["teacher_momentum"]


@pytest.mark.parametrize("cls", [(DINO, DINOConfig), (SimDINO, SimDINOConfig)])
@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_heads_are_as_deep_as_asked(build, make_batch, cls, num_layers):
    method = build(*cls, num_layers=num_layers)
    head = method.heads["head"]
    linear = [m for m in getattr(head, "mlp", head) if isinstance(m, torch.nn.Linear)]
    assert len(linear) == num_layers
    assert [layer.out_features for layer in linear[:-1]] == [32] * (num_layers - 1)
    assert method.training_step(make_batch(), 0).loss.isfinite()


def test_batch_norms_of_a_head_see_all_views_at_once(build, make_batch):
    method = build(DINO, DINOConfig, batch_norm=True)
    rows = []
    method.heads["head"].mlp[1].register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    method.training_step(make_batch(num_local=3), 0)
    assert rows == [20]


@pytest.mark.parametrize(
    ("options", "factor"), [({"layer_decay": 0.5}, 0.125), ({"patch_embed_lr_factor": 0.2}, 0.2)]
)
def test_either_factor_alone_lowers_the_rate_of_the_patch_embedding(build, options, factor):
    method = build(DINO, DINOConfig, TinyTokens(), **options)
    weight = method.model.get_model().patch_embedding.weight
    rates = {id(p): group.lr_scale for group in method.parameter_groups() for p in group.parameters}
    assert rates[id(weight)] == pytest.approx(factor)
    assert {rates[id(p)] for p in method.heads.parameters()} == {1}


def test_layer_decay_needs_blocks(build):
    method = build(DINO, DINOConfig, TinyConv(), layer_decay=0.5)
    method.model = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"layer_decay=0\.5"):
        method.parameter_groups()


@pytest.mark.parametrize("of", ["mean", "student"])
def test_simdino_is_distance_less_coding_rate(build, make_batch, of):
    """Against a plain form, for a teacher that is not equal to the student."""
    method = build(SimDINO, SimDINOConfig, TinyTokens(), coding_rate_eps=0.5, coding_rate_of=of)
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter.mul_(1.5).add_(0.1)
    batch = make_batch(num_local=1)
    embed = [F.normalize(method.heads["head"](pooled(method.model, v)), dim=1) for v in batch.views]
    backbone, head = method.teacher["backbone"], method.teacher["head"]
    wanted = [F.normalize(head(pooled(backbone, v)), dim=1).detach() for v in batch.views[:2]]
    pairs = [(0, 1), (1, 0), (0, 2), (1, 2)]  # teacher, student
    agreement = torch.stack([(wanted[t] * embed[s]).sum(1).mean() for t, s in pairs]).mean()
    rows = embed[:2]
    if of == "mean":
        rows = [(own + other) / 2 for own, other in zip(rows, wanted, strict=True)]
    rates = [torch.logdet(torch.eye(16) + 16 / (4 * 0.5) * z.T @ z) / 2 for z in rows]
    expected = 1 - agreement - (16 + 4) / (16 * 4) * sum(rates) / 2
    result = method.training_step(batch, 0)
    torch.testing.assert_close(result.loss, expected, rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(expected, method.heads["head"][0].weight)
    result.loss.backward()
    torch.testing.assert_close(method.heads["head"][0].weight.grad, gradient, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(result.metrics["teacher/cosine"], agreement.detach())

import copy
import io

import pytest
import torch

from lightly_core.config.options.optim import AdamWArgs
from lightly_core.models.embedding import embed
from lightly_core.optim.build import build_optimizer
from lightly_core.parts.mixup import mixup
from lightly_core.testing.models import TinyConv, TinyTokens
from lightly_distillation.base import project_map, tokens
from lightly_distillation.config import (
    DistillationV1Config,
    DistillationV2Config,
    DistillationV3Config,
)
from lightly_distillation.loss import feature_regression, queue_kl, relational_kl
from lightly_distillation.method import DistillationV1, DistillationV2, DistillationV3
from lightly_distillation.students import is_conv_with_batch_norm

VERSIONS = [
    (DistillationV1, DistillationV1Config),
    (DistillationV2, DistillationV2Config),
    (DistillationV3, DistillationV3Config),
]
each_version = pytest.mark.parametrize("version", VERSIONS, ids=["v1", "v2", "v3"])


def optimizer_of(method, lr=1e-2):
    return build_optimizer(
        method.parameter_groups(), "adamw", AdamWArgs(), peak_lr=lr, device=torch.device("cpu")
    )


def train(method, batch, steps):
    optimizer, losses = optimizer_of(method), []
    for step in range(steps):
        torch.manual_seed(step)
        loss = method.training_step(batch, step).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ---------------------------------------------------------------------- a step by hand


def test_a_step_of_v1(build, conv_teacher, batch):
    method = build(*VERSIONS[0], conv_teacher, mixup=False, temperature=0.2).eval()
    (images,) = batch.views
    target = method.teacher.pooled(images)
    predicted = method.head(method.model(images))
    result = method.training_step(batch, 0)
    # The batch was pushed first: the queue is the batch.
    torch.testing.assert_close(result.loss, queue_kl(predicted, target, target, 0.2))
    assert torch.equal(method.queue.rows(), target)
    cosine = torch.nn.functional.cosine_similarity(predicted, target).mean()
    torch.testing.assert_close(result.metrics["teacher/cosine"], cosine.detach())


@pytest.mark.parametrize("loss", ["mse", "normalized_mse", "cosine"])
def test_a_step_of_v2(build, token_teacher, batch, loss):
    method = build(*VERSIONS[1], token_teacher, mixup=False, loss=loss).eval()
    (images,) = batch.views
    blocks = token_teacher.eval().forward_intermediates(images, 2)
    target = torch.cat([block["patch_tokens"] for block in blocks], dim=2)
    features = method.model.forward_features(images)["features"]  # of the same grid, 4 x 4
    predicted = method.head(features.flatten(2).transpose(1, 2))
    expected = feature_regression(predicted, target, loss)
    torch.testing.assert_close(method.training_step(batch, 0).loss, expected)


def test_a_step_of_v3(build, token_teacher, batch):
    options = {"temperature_global": 0.2, "temperature_local": 0.3, "loss_local_weight": 0.5}
    method = build(*VERSIONS[2], token_teacher, mixup=False, **options).eval()
    (images,) = batch.views
    features = method.model.forward_features(images)["features"]
    target = method.teacher.pooled(images)
    first = queue_kl(method.global_head(features.mean((2, 3))), target, target, 0.2)
    teacher_tokens = token_teacher.eval().forward_tokens(images)["patch_tokens"]
    second = relational_kl(method.local_head(tokens(features)), teacher_tokens, 0.3)
    result = method.training_step(batch, 0)
    torch.testing.assert_close(result.loss, first + 0.5 * second)
    torch.testing.assert_close(result.metrics["train_loss/global"], first.detach())
    torch.testing.assert_close(result.metrics["train_loss/local"], second.detach())


@each_version
def test_teacher_and_student_see_the_same_blended_images(build, conv_teacher, batch, version):
    method = build(*version, conv_teacher)
    seen = []
    for module in (method.teacher.wrapper.get_model(), method.model.get_model()):
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    torch.manual_seed(3)
    method.training_step(batch, 0)
    torch.manual_seed(3)
    (expected,) = mixup(batch.views).views
    assert len(seen) == 2
    assert all(torch.equal(images, expected) for images in seen)


def test_a_map_is_projected_and_brought_to_the_grid():
    head = torch.nn.Linear(3, 5)
    features = torch.randn(2, 3, 4, 4)
    found = project_map(features, head, (2, 2))
    # Bilinear at half the size is the mean of four, which a linear layer does not mind.
    means = torch.nn.functional.avg_pool2d(features, 2)
    torch.testing.assert_close(found, head(means.flatten(2).transpose(1, 2)))


# ---------------------------------------------------------------------------- students


@each_version
@pytest.mark.parametrize("kind", [TinyConv, TinyTokens])
def test_embed_dim_works(build, conv_teacher, batch, version, kind):
    method = build(*version, conv_teacher, student=embed(kind(), 10))
    method.training_step(batch, 0).loss.backward()
    assert method.model.embed.weight.grad.abs().sum() > 0


@each_version
def test_gradients_reach_the_student_only(build, conv_teacher, batch, version):
    method = build(*version, conv_teacher)
    method.training_step(batch, 0).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())
    assert all(p.grad is None for p in method.teacher.wrapper.parameters())


def test_weights_of_the_pooling_get_a_gradient_of_zero_in_v2(build, conv_teacher, batch):
    class WithNorm(TinyConv):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.LayerNorm(32)

        def forward_pool(self, x):
            pooled = super().forward_pool(x)["pooled_features"].flatten(1)
            return {"pooled_features": self.norm(pooled)[:, :, None, None]}

    method = build(*VERSIONS[1], conv_teacher, student=WithNorm())
    method.training_step(batch, 0).loss.backward()
    assert torch.equal(method.model.norm.weight.grad, torch.zeros(32))


@each_version
def test_training_leaves_the_teacher_as_it_was(build, token_teacher, batch, version):
    method = build(*version, token_teacher)
    before = method.teacher.pooled(batch.views[0])
    given = copy.deepcopy(token_teacher.state_dict())
    method.train()
    train(method, batch, 3)
    assert torch.equal(method.teacher.pooled(batch.views[0]), before)
    for name, tensor in token_teacher.state_dict().items():
        assert torch.equal(tensor, given[name])
    # The user's own object is neither frozen nor put into another mode.
    assert all(p.requires_grad for p in token_teacher.parameters())
    assert token_teacher.training


@each_version
def test_the_teacher_is_no_part_of_the_method(build, conv_teacher, version):
    method = build(*version, conv_teacher).train()
    assert not any("teacher" in name for name in method.state_dict())
    ids = {id(p) for p in method.teacher.wrapper.parameters()}
    assert not ids & {id(p) for p in method.parameters()}
    assert not method.teacher.wrapper.training


@each_version
def test_the_student_may_be_its_own_teacher(build, batch, version):
    student = TinyConv()
    method = build(*version, student, student=student)
    assert method.teacher.wrapper is not student
    method.training_step(batch, 0).loss.backward()


@each_version
@pytest.mark.slow
def test_losses_fall(build, token_teacher, batch, version):
    method = build(*version, token_teacher, mixup=False)
    losses = train(method, batch, 30)[2:]  # a queue of two batches is full after two steps
    assert losses[-1] < 0.7 * losses[0]


# ------------------------------------------------------------------------------ resume


@each_version
def test_a_resumed_run_goes_on_exactly(build, token_teacher, batch, version):
    method = build(
        *version, token_teacher, **({} if version is VERSIONS[1] else {"queue_size": 20})
    )
    train(method, batch, 2)  # the queue is neither empty nor full
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    resumed = build(
        *version, token_teacher, **({} if version is VERSIONS[1] else {"queue_size": 20})
    )
    resumed.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert train(resumed, batch, 3) == train(method, batch, 3)


# ------------------------------------------------------------------------ weight decay


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)], True),
        ([torch.nn.Conv2d(3, 4, 3), torch.nn.GroupNorm(2, 4)], False),
        ([torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LayerNorm(4)], False),
        ([torch.nn.BatchNorm2d(4), torch.nn.MultiheadAttention(4, 2)], False),
        ([torch.nn.Conv2d(3, 4, 3)], False),
    ],
)
def test_convolutions_with_batch_norm_are_recognised(modules, expected):
    assert is_conv_with_batch_norm(torch.nn.Sequential(*modules)) is expected


@pytest.mark.parametrize(("student", "factor"), [(TinyConv, 2.5e-5), (TinyTokens, 1.0)])
def test_v3_weakens_the_decay_of_convolutional_students(build, conv_teacher, student, factor):
    method = build(*VERSIONS[2], conv_teacher, student=student())
    args = DistillationV3Config.default_optimizer("adamw")
    optimizer = build_optimizer(
        method.parameter_groups(), "adamw", args, peak_lr=1.0, device=torch.device("cpu")
    )
    decays = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert decays == pytest.approx({"decayed": 0.04 * factor, "not_decayed": 0})

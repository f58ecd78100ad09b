import math
from functools import partial

import numpy as np
import pytest
import torch

from lightly_core.evaluation import linear_lbfgs
from lightly_core.evaluation.lbfgs import minimize
from lightly_core.evaluation.linear import fit_lbfgs, fit_sgd, linear_probe
from lightly_core.evaluation.linear_head import hold_out, statistics
from lightly_core.evaluation.linear_sgd import SgdHeads


def random_task(num_train=240, num_query=150, dim=8, num_classes=6, seed=0):
    """Correlated features, off-centre and of unequal scales, as those of networks are."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(num_classes, dim, generator=generator)
    mix = torch.randn(dim, dim, generator=generator) * torch.logspace(0, -1, dim)[:, None]

    def side(count):
        labels = torch.randint(num_classes, (count,), generator=generator)
        noisy = centres[labels] + 1.2 * torch.randn(count, dim, generator=generator)
        return noisy @ mix + 3, labels

    return (*side(num_train), *side(num_query))


def scikit_learn(task, penalty, standardize=True):
    """Accuracies, weights and biases for raw features, by scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train, train_labels, query, query_labels = (part.numpy() for part in task)
    train, query = train.astype(np.float64), query.astype(np.float64)
    scaler = StandardScaler(with_mean=standardize, with_std=standardize).fit(train)
    # L-BFGS of scikit-learn 1.3 stops early, whatever `tol` is.
    model = LogisticRegression(
        C=1 / (len(train) * penalty), solver="newton-cg", tol=1e-7, max_iter=10_000
    )
    model.fit(scaler.transform(train), train_labels)
    weight, bias = model.coef_, model.intercept_
    if standardize:
        weight = weight / scaler.scale_
        bias = bias - weight @ scaler.mean_
    scores = model.decision_function(scaler.transform(query))
    rank = (scores > np.take_along_axis(scores, query_labels[:, None], 1)).sum(axis=1)
    return (rank < 1).mean(), (rank < 5).mean(), weight, bias


def centred(array):
    """Without what is common to all classes, which no probability depends on."""
    return np.asarray(array) - np.asarray(array).mean(axis=0)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
def test_lbfgs_has_the_solution_of_scikit_learn(penalty, standardize):
    task = random_task()
    top1, top5, weight, bias = scikit_learn(task, penalty, standardize)
    doubles = (task[0].double(), task[1], task[2].double(), task[3])
    fit = partial(
        fit_lbfgs,
        penalties=(penalty,),
        standardize=standardize,
        tolerance=1e-13,
        max_iterations=1000,
    )
    result = linear_probe(*doubles, num_classes=6, fit=fit)
    assert result.notes == ()
    assert centred(result.head.weight) == pytest.approx(centred(weight), rel=1e-3, abs=1e-4)
    assert centred(result.head.bias) == pytest.approx(centred(bias), rel=1e-3, abs=1e-3)
    assert 0.3 < result.top1 < 0.9  # the task is neither trivial nor impossible
    assert (result.top1, result.top5) == pytest.approx((top1, top5))


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
def test_float32_and_the_default_tolerance_give_the_accuracy_of_scikit_learn(penalty):
    task = random_task(num_query=1000)
    top1, top5, *_ = scikit_learn(task, penalty)
    result = linear_probe(*task, num_classes=6, fit=partial(fit_lbfgs, penalties=(penalty,)))
    assert result.notes == ()
    assert result.top1 == pytest.approx(top1, abs=0.003)
    assert result.top5 == pytest.approx(top5, abs=0.003)


def test_lbfgs_reads_in_chunks_what_it_does_not_keep(monkeypatch):
    task = random_task()
    fit = partial(fit_lbfgs, penalties=(0.1, 0.001), tolerance=1e-9)
    kept = linear_probe(*task, num_classes=6, fit=fit)
    monkeypatch.setattr(linear_lbfgs, "KEPT_NUMBERS", 0)
    monkeypatch.setattr(linear_lbfgs, "CHUNK_ROWS", 37)
    monkeypatch.setattr(linear_lbfgs, "SPECTRUM_ROWS", 50)
    read = linear_probe(*task, num_classes=6, fit=fit)
    assert read.penalty == kept.penalty
    torch.testing.assert_close(read.head.weight, kept.head.weight, rtol=1e-2, atol=1e-2)


def test_lbfgs_takes_the_penalty_that_is_best_on_held_out_images():
    # As many dimensions as images, most of them noise: weak penalties must overfit.
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    features = torch.randn(200, 150, generator=generator)
    features[:, 0] += 2 * labels
    head = fit_lbfgs(features, labels, 2, penalties=(1e-6, 1.0), held_out_fraction=0.3)
    assert head.penalty == 1.0
    assert head.held_out[1.0] > head.held_out[1e-6] + 0.05
    alone = fit_lbfgs(features, labels, 2, penalties=(1.0,))
    assert alone.held_out == {}
    torch.testing.assert_close(head.weight, alone.weight, rtol=0.05, atol=0.005)


def test_lbfgs_tries_seven_penalties_by_default():
    task = random_task()
    result = linear_probe(*task, num_classes=6)
    assert sorted(result.held_out) == pytest.approx([10.0**power for power in range(-6, 1)])
    best = max(result.held_out.values())
    assert result.held_out[result.penalty] == best


@pytest.mark.slow
def test_queries_play_no_part_in_the_choice():
    train, train_labels, query, query_labels = random_task()
    for fit in (fit_lbfgs, partial(fit_sgd, lrs=(0.01, 1.0), epochs=3)):
        one = linear_probe(train, train_labels, query, query_labels, num_classes=6, fit=fit)
        other = linear_probe(train, train_labels, -query, query_labels, num_classes=6, fit=fit)
        assert one.held_out == other.held_out
        assert torch.equal(one.head.weight, other.head.weight)


def test_standardised_features_may_be_moved_and_stretched():
    train, train_labels, query, query_labels = random_task()
    fit = partial(fit_lbfgs, penalties=(0.01,), tolerance=1e-9)
    plain = linear_probe(train, train_labels, query, query_labels, num_classes=6, fit=fit)
    stretch = torch.logspace(-3, 3, 8)
    moved = linear_probe(
        train * stretch + 1, train_labels, query * stretch + 1, query_labels, num_classes=6, fit=fit
    )
    assert moved.top1 == pytest.approx(plain.top1, abs=0.01)
    assert moved.train_loss == pytest.approx(plain.train_loss, rel=1e-3)


def test_statistics_of_a_constant_dimension_do_not_divide_by_nothing():
    features = torch.tensor([[0.1, 1.0, 0.0], [0.1, 3.0, 0.0]])
    mean, deviation = statistics(features)
    assert mean.tolist() == pytest.approx([0.1, 2.0, 0.0])
    assert deviation.tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert statistics(4 * features)[1].tolist() == pytest.approx([1.0, 4.0, 1.0])


def test_too_few_iterations_are_noted():
    train, train_labels, *_ = random_task()
    head = fit_lbfgs(train, train_labels, 6, penalties=(1e-4,), max_iterations=2)
    assert len(head.notes) == 1
    assert "stopped after 2 iterations" in head.notes[0]


def reference_sgd(features, labels, *, lr, epochs, batch_size, batch_norm, weight_decay):
    """PyTorch's layers, optimizer and schedule, on the same order of images."""
    norm = torch.nn.BatchNorm1d(features.shape[1], affine=False, eps=1e-6)
    layer = torch.nn.Linear(features.shape[1], 6)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    model = torch.nn.Sequential(norm, layer) if batch_norm else layer
    optimizer = torch.optim.SGD(
        layer.parameters(), lr * batch_size / 256, momentum=0.9, weight_decay=weight_decay
    )
    steps = epochs * (len(features) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=generator)
        for start in range(0, len(features) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(features[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_sgd_is_that_of_pytorch(batch_norm, weight_decay):
    train, train_labels, query, _ = random_task()
    settings = {"epochs": 5, "batch_size": 32, "batch_norm": batch_norm}
    reference = reference_sgd(train, train_labels, lr=0.5, weight_decay=weight_decay, **settings)
    head = fit_sgd(train, train_labels, 6, lrs=(0.5,), weight_decay=weight_decay, **settings)
    with torch.no_grad():
        expected = reference(query)
    torch.testing.assert_close(query @ head.weight.T + head.bias, expected, rtol=1e-3, atol=1e-3)


def test_heads_side_by_side_are_those_trained_alone():
    train, train_labels, *_ = random_task()
    together, alone = SgdHeads(8, 6, (0.01, 0.3)), SgdHeads(8, 6, (0.3,))
    for start in range(0, 240, 40):
        for heads in (together, alone):
            heads.step(train[start : start + 40], train_labels[start : start + 40], 0.5)
    classes = torch.arange(6)
    torch.testing.assert_close(
        together.heads(classes, 6)[1].weight, alone.heads(classes, 6)[0].weight
    )


def test_sgd_takes_the_best_learning_rate_and_trains_again_on_all_images():
    train, train_labels, *_ = random_task()
    settings = {"epochs": 10, "batch_size": 32, "batch_norm": True}
    head = fit_sgd(train, train_labels, 6, lrs=(1e-6, 0.3), **settings)
    assert head.lr == 0.3
    assert head.held_out[0.3] > head.held_out[1e-6]
    alone = fit_sgd(train, train_labels, 6, lrs=(0.3,), **settings)
    assert torch.equal(head.weight, alone.weight)


@pytest.mark.slow
def test_sgd_with_batch_norm_comes_close_to_the_exact_solution():
    # Noise of equal size in all directions: SGD needs long for what is badly conditioned.
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (1200,), generator=generator)
    features = 1.5 * torch.eye(4)[labels] + torch.randn(1200, 4, generator=generator)
    task = (features[:600], labels[:600], features[600:], labels[600:])
    exact = linear_probe(*task, num_classes=4, fit=partial(fit_lbfgs, penalties=(1e-6,)))
    fit = partial(fit_sgd, lrs=(1.0,), batch_size=32, batch_norm=True)
    result = linear_probe(*task, num_classes=4, fit=fit)
    assert 0.5 < exact.top1 < 0.9
    assert result.top1 == pytest.approx(exact.top1, abs=0.01)
    assert result.train_loss == pytest.approx(exact.train_loss, rel=0.01)


def test_diverged_sgd_is_an_error():
    train, train_labels, *_ = random_task()
    with pytest.raises(ValueError, match="diverged at learning rate 1e\\+38"):
        fit_sgd(1e6 * train, train_labels, 6, lrs=(1e38,), epochs=5)


@pytest.mark.parametrize("fit", [fit_lbfgs, partial(fit_sgd, lrs=(0.1, 1.0), epochs=5)])
def test_random_state_plays_no_part_and_is_kept(fit):
    train, train_labels, *_ = random_task()
    torch.manual_seed(1)
    np.random.seed(1)
    state = torch.get_rng_state()
    first = fit(train, train_labels, 6)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    np.random.seed(2)
    again = fit(train, train_labels, 6)
    assert torch.equal(first.weight, again.weight)
    assert first.held_out == again.held_out


@pytest.mark.parametrize("fit", [fit_lbfgs, partial(fit_sgd, epochs=5)])
def test_class_without_a_training_image_is_never_found(fit):
    train, train_labels, query, query_labels = random_task(num_classes=3)
    result = linear_probe(
        train, 2 * train_labels, query, torch.ones_like(query_labels), num_classes=5, fit=fit
    )
    assert (result.top1, result.top5) == (0.0, 0.0)
    assert result.notes == ("classes without a training image, never predicted: 2",)
    assert result.head.weight.shape == (5, 8)
    assert torch.isinf(result.head.bias).tolist() == [False, True, False, True, False]
    known = linear_probe(train, train_labels, query, query_labels, num_classes=3, fit=fit)
    gaps = linear_probe(train, 2 * train_labels, query, 2 * query_labels, num_classes=5, fit=fit)
    assert gaps.top1 == known.top1 > 0.5
    assert gaps.top5 == 1.0


def test_head_is_that_of_the_reported_numbers():
    train, train_labels, query, query_labels = random_task()
    for fit in (fit_lbfgs, partial(fit_sgd, batch_norm=True, epochs=5)):
        result = linear_probe(train, train_labels, query, query_labels, num_classes=6, fit=fit)
        scores = query @ result.head.weight.T + result.head.bias
        assert (scores.argmax(dim=1) == query_labels).float().mean() == pytest.approx(result.top1)
        scores = train @ result.head.weight.T + result.head.bias
        loss = torch.nn.functional.cross_entropy(scores, train_labels).item()
        assert result.train_loss == pytest.approx(loss, rel=1e-4)
        assert (result.num_train, result.num_query, result.num_classes) == (240, 150, 6)


@pytest.mark.parametrize("fit", [fit_lbfgs, partial(fit_sgd, epochs=3, batch_norm=True)])
def test_precision_of_the_training_around_it_does_not_matter(fit):
    task = random_task()
    plain = linear_probe(*task, num_classes=6, fit=fit)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = linear_probe(*task, num_classes=6, fit=fit)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(inside.head.weight, plain.head.weight)
    assert (inside.top1, inside.train_loss) == (plain.top1, plain.train_loss)


def test_lbfgs_converges_with_fewer_images_than_dimensions():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(50, 5, generator=generator) @ torch.randn(5, 400, generator=generator)
    features += 1e-3 * torch.randn(50, 400, generator=generator)
    head = fit_lbfgs(features, torch.arange(50) % 3, 3, penalties=(1e-6,))
    assert head.notes == ()
    found = (features @ head.weight.T + head.bias).argmax(dim=1)
    assert torch.equal(found, torch.arange(50) % 3)


def test_held_out_images_are_a_share_of_every_class():
    targets = torch.tensor([0] * 100 + [1] * 30 + [2] * 2 + [3])
    kept, held = hold_out(targets, 0.1, seed=0)
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(133))
    assert targets[held].bincount(minlength=4).tolist() == [10, 3, 1, 0]
    assert not torch.equal(hold_out(targets, 0.1, seed=1)[1], held)


@pytest.mark.parametrize(
    ("fit", "word"), [(fit_lbfgs, "penalty 0.001"), (partial(fit_sgd, lrs=(1, 2, 3)), "rate 2")]
)
def test_one_image_per_class_leaves_no_choice(fit, word):
    head = fit(torch.eye(4), torch.arange(4), 4)
    assert head.held_out == {}
    assert word in head.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "at least one train image"),
        (lambda x, y: (x * math.nan, y), "finite train features"),
        (lambda x, y: (x, y + 1), r"labels in \[0, 6\), got labels from 1 to 6"),
        (lambda x, y: (x, y - 1), "got labels from -1 to 4"),
        (lambda x, y: (x, 0 * y + 3), "two classes or more, all 240 are of class 3"),
        (lambda x, y: (x, y[:-1]), r"got \(240, 8\) and \(239,\)"),
    ],
)
def test_unusable_training_data_is_refused(change, message):
    train, train_labels, query, query_labels = random_task()
    train, train_labels = change(train, train_labels)
    for fit in (fit_lbfgs, fit_sgd):
        with pytest.raises(ValueError, match=message):
            linear_probe(train, train_labels, query, query_labels, num_classes=6, fit=fit)
        with pytest.raises(ValueError, match=message):
            fit(train, train_labels, 6)


def test_unusable_queries_and_settings_are_refused():
    train, train_labels, query, query_labels = random_task()
    with pytest.raises(ValueError, match="at least one query image"):
        linear_probe(train, train_labels, query[:0], query_labels[:0], num_classes=6)
    with pytest.raises(ValueError, match="query labels in"):
        linear_probe(train, train_labels, query, query_labels + 1, num_classes=6)
    for penalties in ((), (0.0, 1.0), (math.nan,), (math.inf,)):
        with pytest.raises(ValueError, match="penalties > 0"):
            fit_lbfgs(train, train_labels, 6, penalties=penalties)
    for lrs in ((), (0.0,), (math.inf,)):
        with pytest.raises(ValueError, match="learning rates > 0"):
            fit_sgd(train, train_labels, 6, lrs=lrs)


def test_minimize_finds_the_minimum_of_a_badly_scaled_function():
    # Sum of cosh, stretched by 1 to 1e4: far from a parabola, minimum at `target`.
    target = torch.linspace(-2, 2, 12, dtype=torch.float64)
    stretch = torch.logspace(0, 4, 12, dtype=torch.float64)

    def objective(point):
        away = point - target
        return float((stretch * away.cosh()).sum()), stretch * away.sinh()

    start = torch.zeros(12, dtype=torch.float64)
    found = minimize(
        objective, start, precondition=lambda g: g, max_iterations=500, tolerance=1e-12
    )
    assert found.converged
    torch.testing.assert_close(found.point, target, rtol=0, atol=1e-5)
    scaled = minimize(
        objective, start, precondition=lambda g: g / stretch, max_iterations=500, tolerance=1e-12
    )
    assert scaled.iterations < found.iterations / 2

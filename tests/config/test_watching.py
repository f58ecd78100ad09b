import itertools

import pytest

from lightly_core.config.auto.watching import Work, larger_is_better, resolve_callbacks
from lightly_core.config.options.callbacks import (
    CallbacksArgs,
    EarlyStoppingArgs,
    KnnArgs,
    ModelCheckpointArgs,
    SignalsArgs,
)


def work(epochs=100, dataset_size=10_000, views=2.0, batch_size=100, world_size=1):
    steps = dataset_size // batch_size
    return Work.of_run(
        total_steps=epochs * steps,
        steps_per_epoch=steps,
        effective_batch_size=batch_size,
        world_size=world_size,
        views=views,
        dataset_size=dataset_size,
    )


def cost(done, images, every):
    """Share of the training time that looking takes, counted one look at a time."""
    looks = 1 + sum(
        epoch % every == 0 or epoch == done.epochs for epoch in range(1, done.epochs + 1)
    )
    return looks * images / done.forwards


def signals(done, **options):
    return resolve_callbacks(CallbacksArgs(signals=SignalsArgs(**options)), done, None).signals


def outside_of_the_budget(epochs, dataset_size, views, world_size):
    """Tell what is wrong with the looks at the images: too many, or fewer than fit."""
    done = work(epochs, dataset_size, views, world_size=world_size)
    found = signals(done)
    if found.num_images == 64:  # the fewest, of which two looks are always taken
        return ""
    if cost(done, found.num_images, found.every_n_epochs) > 0.02:
        return "too many"
    rarer = found.every_n_epochs > 1 and epochs > 1
    more_fit = rarer and cost(done, found.num_images, found.every_n_epochs - 1) <= 0.02
    return "too few" if more_fit else ""


def test_auto_stays_within_the_budget_and_uses_it():
    cases = itertools.product(
        (1, 2, 3, 7, 50, 1000), (2_000, 50_000, 1_000_000), (1.0, 2.0, 3.2), (1, 8)
    )
    wrong = {case: problem for case in cases if (problem := outside_of_the_budget(*case))}
    assert not wrong, wrong


def test_auto_by_hand():
    # 100 epochs of 600 * 2 * 3 = 3600 forwards, 2 % of which are 7200: 14 looks at 512 images.
    # One is before training, and the others fit every eighth epoch.
    done = work(epochs=100, dataset_size=600)
    assert done.forwards == 360_000
    assert signals(done) == SignalsArgs(num_images=512, every_n_epochs=8)


def test_given_numbers_are_kept():
    assert signals(work(), num_images=100, every_n_epochs=7) == SignalsArgs(
        num_images=100, every_n_epochs=7
    )


def test_a_very_short_run_looks_at_fewer_images():
    assert 64 < signals(work(epochs=1, dataset_size=1_800)).num_images < 512
    assert signals(work(epochs=1, dataset_size=100)).num_images == 64


def test_the_knn_is_repeated_with_val_data_only():
    assert resolve_callbacks(CallbacksArgs(), work(), None).knn.every_n_epochs is None
    found = resolve_callbacks(CallbacksArgs(), work(), 5_000).knn
    assert cost(work(), 15_000, found.every_n_epochs) <= 0.03
    given = CallbacksArgs(knn=KnnArgs(every_n_epochs=4))
    assert resolve_callbacks(given, work(), None).knn.every_n_epochs == 4


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("knn/top1", "max"),
        ("linear/top5", "max"),
        ("rank/rankme", "max"),
        ("embedding/std", "max"),
        ("contrast/top1", "max"),
        ("teacher/cosine", "max"),
        ("train_loss", "min"),
        ("train_loss/global", "min"),
        ("lr", "min"),
    ],
)
def test_the_mode_follows_from_the_metric(monitor, mode):
    assert larger_is_better(monitor) == (mode == "max")
    callbacks = CallbacksArgs(
        model_checkpoint=ModelCheckpointArgs(monitor=monitor),
        early_stopping=EarlyStoppingArgs(monitor=monitor, patience=1),
    )
    found = resolve_callbacks(callbacks, work(), None)
    assert (found.model_checkpoint.mode, found.early_stopping.mode) == (mode, mode)


def test_a_given_mode_is_kept():
    args = ModelCheckpointArgs(monitor="knn/top1", mode="min")
    found = resolve_callbacks(CallbacksArgs(model_checkpoint=args), work(), None)
    assert found.model_checkpoint.mode == "min"


def test_what_is_off_stays_off():
    off = CallbacksArgs(
        signals=None, knn=None, model_checkpoint=None, early_stopping=None, report=None
    )
    assert resolve_callbacks(off, work(), 10) == off


def test_no_epochs_are_no_division_by_zero():
    done = Work(epochs=0, dataset_size=10, forwards=0.0)
    assert signals(done).every_n_epochs == 1

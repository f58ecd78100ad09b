import json
import math

import pytest
from attrs import define, evolve

from lightly_core.config.auto.length import first_epochs
from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.config.auto.resolve import peak_lr, resolve, warmup_steps
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.optim import OptimizerArgs
from lightly_core.config.options.settings import PythonObject
from lightly_core.errors import ConfigError, DataError, PluginError

CPU = Machine(cpus=4)
GPUS = Machine(cpus=64, cuda_devices=4, cuda_bf16=True)
MAC = Machine(cpus=8, mps=True)


def test_keys_in_addresses_are_used_but_not_stored(resolved):
    result = resolved(model_args={"weights": "https://h/b.pth?Signature=SECRET"})
    assert result.as_dict()["model_args"] == {"weights": "https://h/b.pth?..."}
    assert result.run.model_args == {"weights": "https://h/b.pth?Signature=SECRET"}


def derived(result):
    return result.as_dict()["derived"]


# ------------------------------------------------------------------- batches and steps


def test_numbers_of_a_plain_run(resolved):
    result = resolved("batch_size=100", "epochs=3", images=1050)
    assert derived(result) == {
        "seed_drawn": False,
        "dataset_size": 1050,
        "world_size": 1,
        "local_devices": 1,
        "batch_size": 100,
        "per_device_batch_size": 100,
        "accumulation": 1,
        "effective_batch_size": 100,
        "batches_per_epoch": 10,
        "steps_per_epoch": 10,
        "total_steps": 30,
        "peak_lr": pytest.approx(0.5 * 100 / 256),
        "warmup_steps": 3,
        "gradient_clip_val": None,
        "log_every_n_steps": 10,
        "memory": {
            "use": False,
            "required": False,
            "reason": "no image was read to decide",
        },
        "recipe": {"name": "paper", "reason": "toy has no other values for these settings"},
        "length": {"epochs": 3, "steps": 30, "reason": "epochs=3", "given": True},
    }
    assert result.warnings == ()


def slow_steps(images, batch_size, accumulation):
    """Walk through an epoch: count batches, step when enough are gathered or at the end."""
    batches = steps = gathered = 0
    for _ in range(batch_size, images + 1, batch_size):
        batches += 1
        gathered += 1
        if gathered == accumulation:
            steps, gathered = steps + 1, 0
    return batches, steps + bool(gathered)


@pytest.mark.parametrize("images", [7, 64, 100, 1001])
@pytest.mark.parametrize("batch_size", [4, 7])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_steps_match_a_walk_through_the_epoch(resolved, images, batch_size, accumulation):
    result = resolved(
        f"batch_size={batch_size}", f"gradient_accumulation_steps={accumulation}", images=images
    )
    expected = slow_steps(images, batch_size, accumulation)
    assert (result.batches_per_epoch, result.steps_per_epoch) == expected


def test_devices_and_nodes_share_the_batch(resolved):
    result = resolved("num_nodes=2", "batch_size=64", machine=GPUS)
    assert (result.world_size, result.local_devices) == (8, 4)
    assert (result.run.batch_size, result.per_device_batch_size) == (64, 8)


def test_a_batch_that_cannot_be_shared_names_the_nearest_sizes(resolved):
    with pytest.raises(ConfigError, match=r"130 images, .* 4 devices .* batch_size=128 or 132"):
        resolved("batch_size=130", machine=GPUS)
    with pytest.raises(ConfigError, match=r"use batch_size=4$"):
        resolved("batch_size=3", machine=GPUS)


def test_a_small_dataset_reduces_the_batch_with_a_warning(resolved):
    result = resolved("batch_size=128", images=30, machine=GPUS)
    assert result.run.batch_size == 28
    assert (result.per_device_batch_size, result.batches_per_epoch) == (7, 1)
    assert "batch_size=128 is larger than the number of images, 30" in result.warnings[0]


@pytest.mark.parametrize("images", [0, 3])
def test_fewer_images_than_devices(resolved, images):
    with pytest.raises(DataError, match=f"got {images} images, but each of the 4 devices"):
        resolved(images=images, machine=GPUS)


def test_accumulation_beyond_an_epoch_warns_and_is_not_counted(resolved):
    result = resolved("batch_size=100", "gradient_accumulation_steps=50", images=1000)
    assert (result.steps_per_epoch, result.effective_batch_size) == (1, 1000)
    assert "every epoch makes one step of 10 batches" in result.warnings[0]


# ------------------------------------------------------------------- epochs


@pytest.mark.parametrize(
    ("images", "pairs", "epochs"),
    [
        (1000, ["batch_size=100"], 100),  # 10 steps an epoch, 1000 wanted
        (2000, ["batch_size=100"], 50),
        (1000, ["batch_size=50"], 50),
        (1000, ["batch_size=300", "recipe=paper"], math.ceil(1000 / 3)),
        (1000, ["batch_size=100", "gradient_accumulation_steps=3", "recipe=paper"], 250),  # 4 steps
        (50, ["batch_size=100"], 1000),  # the batch that is used has 50 images
        (10**6, ["batch_size=1"], 1),
    ],
)
def test_promise_09_epochs_auto_follow_dataset_batch_and_accumulation(
    resolved, images, pairs, epochs
):
    assert resolved(*pairs, images=images).run.epochs == epochs


def test_promise_09_epochs_auto_has_an_upper_limit(load, toy_config):
    @define(frozen=True, kw_only=True)
    class Long(MethodConfig):
        target_steps = 10**9

    settings = evolve(load("recipe=paper"), method=Long())
    assert resolve(settings, CPU, 1000).run.epochs == 10_000


def promised(images, recipe, limit=2_000_000):
    """The rule of docs/running.md, by trying numbers: the epochs of a first run, or None."""
    if recipe == "paper":
        return None
    epochs = 200
    while epochs * images < 200_000:
        epochs += 1
    if epochs * images < limit:
        return epochs
    while recipe == "small" and epochs > 1 and epochs * images >= limit:
        epochs -= 1
    return epochs if recipe == "small" else None


@pytest.mark.parametrize("recipe", ["auto", "small", "paper"])
@pytest.mark.parametrize("images", [30, 999, 1000, 1001, 9_999, 10_000, 70_000, 3_000_000])
def test_few_images_have_a_first_budget(images, recipe):
    assert first_epochs(images, recipe) == promised(images, recipe)


@pytest.mark.parametrize(
    ("images", "pairs", "epochs"),
    [
        (5000, ["batch_size=1000"], 200),
        (5000, ["batch_size=100"], 20),  # the 1000 steps of the method are fewer
        (9999, ["batch_size=5000"], 200),
        (10_000, ["batch_size=5000"], 500),
        (5000, ["batch_size=1000", "trainer_args.max_steps=1100"], 200),  # by the 1000 steps
        (5000, ["batch_size=5000", "trainer_args.max_steps=700"], 700),
    ],
)
def test_a_first_budget_is_never_longer_than_the_paper_and_a_limit_of_steps_is_kept(
    resolved, images, pairs, epochs
):
    result = resolved(*pairs, images=images)
    assert (result.run.epochs, result.length.given) == (epochs, False)


def test_zero_epochs_make_no_step(resolved):
    result = resolved("epochs=0")
    assert (result.run.epochs, result.total_steps, result.warmup_steps) == (0, 0, 0)


def test_max_steps_bounds_the_run(resolved):
    given = resolved("batch_size=100", "epochs=5", "trainer_args.max_steps=12")
    assert (given.total_steps, given.run.epochs) == (12, 5)
    auto = resolved("batch_size=100", "trainer_args.max_steps=12")
    assert (auto.total_steps, auto.run.epochs) == (12, 2)
    assert resolved("epochs=1", "trainer_args.max_steps=-1").total_steps == 7


@pytest.mark.parametrize("value", ["many", "1.5", "-2", "true"])
def test_max_steps_must_be_a_number(resolved, value):
    with pytest.raises(ConfigError, match=r"config\.trainer_args\.max_steps: expected an int"):
        resolved(f"trainer_args.max_steps={value}")


@pytest.mark.parametrize(("limit", "batches"), [("3", 3), ("50", 10), ("0.25", 2), ("1.0", 10)])
def test_limit_train_batches_is_counted(resolved, limit, batches):
    result = resolved("batch_size=100", f"trainer_args.limit_train_batches={limit}")
    assert result.batches_per_epoch == batches


def test_a_limit_without_any_batch_is_an_error(resolved):
    with pytest.raises(ConfigError, match="leaves no batch"):
        resolved("trainer_args.limit_train_batches=0")


@pytest.mark.parametrize(
    ("pairs", "interval"),
    [
        (["batch_size=1"], 50),
        (["batch_size=100"], 10),
        (["batch_size=1000"], 1),
        (["batch_size=100", "trainer_args.log_every_n_steps=3"], 3),
    ],
)
def test_log_interval(resolved, pairs, interval):
    assert resolved(*pairs).log_every_n_steps == interval


# ------------------------------------------------------------------- learning rate


@pytest.mark.parametrize(("scaling", "factor"), [("linear", 0.25), ("sqrt", 0.5), ("none", 1.0)])
def test_peak_lr(scaling, factor):
    optimizer = OptimizerArgs(lr=0.2, reference_batch_size=1024, lr_scale_method=scaling)
    assert peak_lr(optimizer, 256) == pytest.approx(0.2 * factor)


def test_peak_lr_counts_accumulation(resolved):
    plain = resolved("batch_size=100")
    accumulated = resolved("batch_size=50", "gradient_accumulation_steps=2")
    assert accumulated.peak_lr == plain.peak_lr


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "expected"),
    [
        (1000, 10, 100),  # ten epochs
        (50, 10, 50),  # a tenth of the run, which is shorter than ten epochs
        (1, 7, 1),
        (0, 10, 0),
    ],
)
def test_the_warmup_shrinks_with_the_run(epochs, steps_per_epoch, expected):
    optimizer = OptimizerArgs(warmup_epochs=10, warmup_max_fraction=0.1)
    assert warmup_steps(optimizer, steps_per_epoch, epochs * steps_per_epoch) == expected


def test_warmup_of_a_fraction_of_an_epoch():
    optimizer = OptimizerArgs(warmup_epochs=0.5, warmup_max_fraction=1.0)
    assert warmup_steps(optimizer, 9, 90) == 4  # half of 9, the even neighbour of 4.5


# ------------------------------------------------------------------- seed, method


def test_promise_02_seed_none_draws_a_new_one(load):
    settings = load("seed=none")
    first, second = (resolve(settings, CPU, 1000) for _ in range(2))
    assert first.seed_drawn
    assert 0 <= first.run.seed < 2**32
    assert first.run.seed != second.run.seed
    assert resolve(settings, CPU, 1000, draw_seed=lambda: 7).run.seed == 7


def test_a_given_seed_is_kept(resolved):
    result = resolved("seed=5")
    assert (result.run.seed, result.seed_drawn) == (5, False)


def test_the_method_resolves_its_own_options(resolved):
    assert resolved().method.momentum_start == 0.99
    assert resolved("method_args.momentum_start=0.5").method.momentum_start == 0.5


def test_a_method_that_leaves_an_auto_is_named(load, toy_config):
    class Lazy(toy_config):
        def resolve(self, facts):
            return self

    settings = evolve(load(), method=Lazy())
    with pytest.raises(PluginError, match="method 'toy' leaves 'auto' in momentum_start"):
        resolve(settings, CPU, 1000)


# ------------------------------------------------------------------- images in memory


@pytest.mark.parametrize(("setting", "kept"), [("auto", False), ("true", True), ("false", False)])
def test_in_memory_without_a_look_at_the_images(resolved, setting, kept):
    result = resolved(f"in_memory={setting}")
    assert result.run.in_memory is result.memory.use is result.memory.required is kept


def test_in_memory_is_what_a_look_at_the_images_said(load):
    choice = MemoryChoice(use=True, reason="they are small")
    result = resolve(load(), CPU, 1000, memory=choice)
    assert result.run.in_memory is True
    assert result.memory == choice


# ------------------------------------------------------------------- as data


def test_as_dict_is_complete_plain_data_without_auto(resolved):
    data = resolved(
        "transform_args.random_flip.vertical_prob=0.5",
        "loggers.tensorboard=none",
        model=PythonObject(object()),
        machine=GPUS,
    ).as_dict()
    assert json.loads(json.dumps(data)) == data
    data["strategy"] = "ddp"
    assert "auto" not in json.dumps({key: value for key, value in data.items() if key != "method"})
    assert data["transform_args"]["random_flip"] == {"horizontal_prob": 0.5, "vertical_prob": 0.5}
    assert data["transform_args"]["num_channels"] == 3
    assert data["method_args"]["momentum_start"] == 0.99
    assert data["optim_args"]["lr"] == 0.5
    assert data["callbacks"]["knn"]["k"] == 20
    assert data["loggers"] == {"jsonl": {}, "tensorboard": None}
    assert data["model"] == "<builtins.object object>"
    assert data["derived"]["world_size"] == 4


def test_what_was_resolved_can_be_read_again(resolved, load):
    data = resolved(machine=GPUS).as_dict()
    data.pop("derived")
    again = resolve(load(**data), GPUS, 1000).as_dict()
    again.pop("derived")
    assert again == data


def test_arguments_of_loops_that_a_run_does_not_have_are_named(resolved):
    (warning,) = resolved(
        "batch_size=100", "trainer_args={val_check_interval = 0.5, num_sanity_val_steps = 2}"
    ).warnings
    assert "trainer_args.val_check_interval, trainer_args.num_sanity_val_steps" in warning
    neutral = "trainer_args={num_sanity_val_steps = 0, check_val_every_n_epoch = 1}"
    assert resolved("batch_size=100", neutral).warnings == ()


def test_a_warmup_that_does_not_fit_is_told_where_it_was_asked_for(resolved):
    run = ["batch_size=100", "epochs=10"]
    (warning,) = resolved(*run, "optim_args.warmup_epochs=5").warnings
    assert warning.startswith("optim_args.warmup_epochs=5 is shortened to 10 steps")
    assert resolved(*run).warnings == ()
    assert resolved(*run, "optim_args.warmup_epochs=1").warnings == ()

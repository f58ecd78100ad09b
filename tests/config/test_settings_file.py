"""`lightly run --config` reads the file of a dry run to the same settings."""

import pytest

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.config.auto.resolve import resolve
from lightly_core.config.auto.settings_file import settings_file
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.load import load_settings
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import get_plugins

GPUS = Machine(cpus=64, cuda_devices=4, cuda_bf16=True)
CPU = Machine(cpus=4)
GIVEN = ("out=out", "data=images", "model=torchvision/resnet18")


def resolved(*pairs, machine=CPU, memory=None, catalog=None, **more):
    catalog = catalog or get_plugins().catalog
    settings = load_settings(catalog=catalog, pairs=pairs, **more)
    return resolve(settings, machine, 10_000, memory=memory, draw_seed=lambda: 77)


def read_back(result, tmp_path, **more):
    file = tmp_path / "run.toml"
    file.write_text(settings_file(result), encoding="utf-8")
    return resolved(config_file=str(file), **more)


def comparable(result):
    """All settings and numbers, without what a file cannot keep."""
    data = result.as_dict()
    assert data["derived"].pop("seed_drawn") in (True, False)
    data["derived"]["memory"] = data["derived"]["memory"]["use"]
    data["derived"]["recipe"] = data["derived"]["recipe"]["name"]
    del data["derived"]["length"]  # epochs and steps are there too
    return data


@pytest.mark.slow
@pytest.mark.parametrize("machine", [CPU, GPUS], ids=["cpu", "gpus"])
def test_the_file_of_every_method_is_read_back_to_the_same_run(tmp_path, machine):
    names = get_plugins().catalog.usable_names("method")
    assert len(names) > 30
    for name in names:
        result = resolved(*GIVEN, f"method={name}", machine=machine)
        assert comparable(read_back(result, tmp_path, machine=machine)) == comparable(result), name


@pytest.mark.parametrize(
    "pairs",
    [
        ["callbacks.knn=none", "callbacks.signals=none", "callbacks.model_checkpoint=none"],
        ["callbacks.early_stopping.patience=3", "callbacks.model_checkpoint.monitor=knn/top1"],
        ["loggers.tensorboard=none", "seed=none", "epochs=7", "batch_size=96", "in_memory=false"],
        ["transform_args.color_jitter=none", "transform_args.random_gray_scale=none"],
        ["method=dino", "transform_args.local_view=none", "method_args.momentum_end=0.99"],
        ["method=dino", "transform_args.global_view_1.color_jitter=none"],
        ["transform_args.image_size=[96, 128]", "transform_args.value_range=[0, 4095]"],
        ["optim=sgd", "optim_args.momentum=0.5", "optim_args.weight_decay_end=0.1"],
        ["devices=[0, 2]", "batch_size=64", "precision=32-true", "strategy=ddp"],
        ["trainer_args.max_steps=50", "loader_args.timeout=5", 'model_args.b.c=["x", {d = 1}]'],
        ["activation_checkpoint_args.enabled=true", "checkpoint=weights.pt", "embed_dim=8"],
        ["val_data=val", "overwrite=true", "profile=true", "max_skipped=0.25"],
    ],
    ids=lambda pairs: pairs[0],
)
def test_given_settings_are_read_back(tmp_path, pairs):
    result = resolved(*GIVEN, *pairs, machine=GPUS)
    assert comparable(read_back(result, tmp_path, machine=GPUS)) == comparable(result)


def test_hostile_texts_are_read_back(tmp_path):
    arguments = {
        "out": 'a "quoted"\\name\n\x7f',
        "data": ["C:\\images\\", "'ü' \U0001f600", "[x]", "# y", "none", "true", "1.5"],
        "model": "torchvision/resnet18",
        "model_args": {"a b": {'"': "\\"}, "ü.x": [1.5, False, "none"]},
        "loggers": {"tensorboard": {"prefix": 'say "none"\\'}},
    }
    result = resolved(arguments=arguments)
    again = read_back(result, tmp_path)
    assert comparable(again) == comparable(result)
    assert (again.run.data, again.run.model_args) == (result.run.data, result.run.model_args)


def test_images_in_memory_stay_a_choice_of_auto(tmp_path):
    kept = MemoryChoice(use=True, reason="small")
    result = resolved(*GIVEN, memory=kept)
    assert 'in_memory = "auto"' in settings_file(result)
    forced = MemoryChoice(use=True, required=True, reason="in_memory=true")
    assert "in_memory = true" in settings_file(resolved(*GIVEN, "in_memory=true", memory=forced))


def test_the_random_seed_is_written():
    assert "\nseed = 77\n" in settings_file(resolved(*GIVEN, "seed=none"))


def test_an_address_with_a_password_is_kept_with_a_warning(tmp_path):
    address = "https://user:secret@host/weights.pt?key=1"
    result = resolved(*GIVEN, f"model_args.weights={address}")
    assert "Keep this file private" in settings_file(result)
    assert read_back(result, tmp_path).run.model_args == {"weights": address}
    assert "Keep this file private" not in settings_file(resolved(*GIVEN))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"model": PythonObject(object())}, "config.model: got <builtins.object object>"),
        ({"model_args": {"a": {"b": None}}}, "config.model_args.a.b: got None"),
        ({"data": "caf\udce9"}, "config.data: 'caf\\udce9' has bytes that are not valid text"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(arguments, expected):
    given = {"out": "out", "data": "images", "model": "torchvision/resnet18", **arguments}
    with pytest.raises(ConfigError) as refused:
        settings_file(resolved(arguments=given))
    assert expected in str(refused.value)

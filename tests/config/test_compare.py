import json

from lightly_core.config.auto.compare import diff
from lightly_core.config.auto.machine import Machine

GPUS = Machine(cpus=64, cuda_devices=4, cuda_bf16=True)


def test_no_difference(resolved):
    data = resolved().as_dict()
    assert diff(json.loads(json.dumps(data)), data) == []


def test_differences_are_named(resolved):
    old = resolved("batch_size=128", "transform_args.color_jitter=none").as_dict()
    new = resolved("batch_size=64", "method_args.temperature=0.2", "epochs=3").as_dict()
    lines = diff(old, new)
    assert "batch_size: was 128, now 64" in lines
    assert "method_args.temperature: was 0.1, now 0.2" in lines
    assert any(line.startswith("transform_args.color_jitter: was None, now {") for line in lines)
    assert "epochs: was 143, now 3" in lines
    assert len(lines) == 4


def test_what_does_not_change_the_training_is_not_named(resolved):
    old = resolved().as_dict()
    new = resolved(
        "out=elsewhere",
        "num_workers=3",
        "max_skipped=0.5",
        "loggers.tensorboard=none",
        "loader_args.prefetch_factor=4",
        "callbacks.model_checkpoint.every_n_epochs=7",
        resume_interrupted=True,
    ).as_dict()
    assert diff(old, new) == []


def test_early_stopping_decides_when_training_ends(resolved):
    lines = diff(resolved().as_dict(), resolved("callbacks.early_stopping.patience=3").as_dict())
    assert lines == ["callbacks.early_stopping.patience: was None, now 3"]


def test_other_processes_are_no_change_and_another_batch_size_is_one(resolved):
    old = resolved("devices=0,1", machine=GPUS).as_dict()
    for pairs in (["devices=2,3"], ["devices=1", "num_nodes=2"], ["devices=4"], ["devices=1"]):
        assert diff(old, resolved(*pairs, machine=GPUS).as_dict()) == []
    lines = diff(old, resolved("devices=3", "batch_size=126", machine=GPUS).as_dict())
    assert "batch_size: was 128, now 126" in lines


def test_another_accelerator_is_a_change(resolved):
    pairs = ("devices=1", "precision=32-true", "float32_matmul_precision=high")
    lines = diff(resolved(*pairs).as_dict(), resolved(*pairs, machine=GPUS).as_dict())
    assert lines == ["accelerator: was 'cpu', now 'gpu'"]


def test_another_seed_is_a_change_and_how_it_came_about_is_none(resolved):
    drawn = resolved("seed=none").as_dict()
    seed = drawn["seed"]
    assert diff(drawn, resolved(f"seed={seed}").as_dict()) == []
    other = (seed + 1) % 2**32
    lines = diff(drawn, resolved(f"seed={other}").as_dict())
    assert lines == [f"seed: was {seed}, now {other}"]


def test_other_images_are_a_change(resolved):
    pairs = ("epochs=1",)
    lines = diff(resolved(*pairs).as_dict(), resolved(*pairs, images=1001).as_dict())
    assert lines == ["data: was 1000 images, now 1001"]


def test_settings_of_another_version_are_named(resolved):
    old = resolved().as_dict()
    new = {**old, "brand_new": 1}
    assert diff(old, new) == ["brand_new: was not set, now 1"]

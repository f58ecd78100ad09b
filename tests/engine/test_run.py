"""Whole runs on tiny images: what is written, and what the settings do."""

import json
import logging
import os

import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from safetensors.torch import load_file

from lightly_core.errors import ConfigError, DataError, RunError


def test_a_run_writes_what_the_design_promises(finished, read_metrics):
    result = finished.result
    written = {str(p.relative_to(result.folder)) for p in result.folder.rglob("*") if p.is_file()}
    assert written == {
        "config.json",
        "plugins.json",
        "status.json",
        "train.log",
        "metrics.jsonl",
        "report.html",
        "report_data/run.json",
        "report_data/images.json",
        "report_data/images.jpg",
        "report_data/before.npz",
        "report_data/after.npz",
        "report_data/patches_before.png",
        "report_data/patches_after.png",
        "report_data/views.json",
        "report_data/views_0.jpg",
        "checkpoints/last.ckpt",
        "checkpoints/epoch=1-step=6.ckpt",
        "exported_models/exported_last.pt",
        "exported_models/exported_last.safetensors",
    }
    lines = read_metrics(result.folder)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {
        "step",
        "epoch",
        "train_loss",
        "lr",
        "grad_norm",
        "images_per_second",
        "data_wait",
    } <= set(lines[0])
    assert "Resolved configuration" in (result.folder / "train.log").read_text()


@pytest.mark.slow
def test_the_recorded_configuration_has_no_auto_left(pretrain, short_run):
    result = pretrain(**short_run(accelerator="auto", precision="auto", num_workers="auto"))
    text = (result.folder / "config.json").read_text()
    config = json.loads(text)
    assert config.pop("strategy") == "auto"  # one process needs none
    assert '"auto"' not in json.dumps(config)
    assert (config["recipe"], config["optim"]) == ("small", "adamw")
    assert config["method_args"]["temperature"] == 0.2
    assert config["transform_args"]["image_size"] == 16


def test_the_network_learns_and_is_exported_as_trained(finished):
    for file in finished.result.exported:
        load = load_file if file.suffix == ".safetensors" else torch.load
        exported = load(file)
        assert exported.keys() == finished.before.keys()
        assert all(torch.equal(exported[name], finished.after[name]) for name in exported)
    assert any(not torch.equal(finished.after[name], finished.before[name]) for name in exported)


def test_checkpoints_load_without_unpickling_code(finished):
    file = finished.result.folder / "checkpoints/last.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    assert checkpoint["lightly"]["exported_prefix"] == "method.model."
    assert json.loads(checkpoint["lightly"]["config"])["epochs"] == 2


def losses(read_metrics, result):
    return [line["train_loss"] for line in read_metrics(result.folder)]


def test_the_same_seed_gives_the_same_losses_and_another_does_not(
    pretrain, short_run, read_metrics, tmp_path, finished
):
    same, other = (
        losses(read_metrics, pretrain(**short_run(out=tmp_path / str(seed), seed=seed)))
        for seed in (0, 1)
    )
    assert same == losses(read_metrics, finished.result)
    assert same != other


@pytest.mark.slow
def test_worker_processes_do_not_change_the_losses(pretrain, short_run, read_metrics, tmp_path):
    one, other = (
        pretrain(**short_run(out=tmp_path / str(workers), num_workers=workers, in_memory=False))
        for workers in (0, 2)
    )
    assert losses(read_metrics, one) == losses(read_metrics, other)


@pytest.mark.slow
def test_promise_02_seed_none_draws_a_new_seed_which_repeats_the_run(
    pretrain, short_run, read_metrics, tmp_path
):
    results, configs, logs = [], [], []

    def run(seed):
        out = tmp_path / str(len(results))
        results.append(pretrain(**short_run(out=out, seed=seed, epochs=1)))
        configs.append(json.loads((out / "config.json").read_text()))
        logs.append((out / "train.log").read_text())

    run(None)
    run(None)
    run(configs[0]["seed"])
    assert [config["derived"]["seed_drawn"] for config in configs] == [True, True, False]
    assert all(isinstance(config["seed"], int) for config in configs)
    assert configs[0]["seed"] != configs[1]["seed"]
    for config, text in zip(configs[:2], logs, strict=False):
        assert f"The seed is random; seed={config['seed']} repeats" in text
    assert "seed is random" not in logs[2]
    assert losses(read_metrics, results[0]) == losses(read_metrics, results[2])


def test_promise_04_an_exported_file_starts_a_new_run(pretrain, short_run, finished):
    settings = short_run(epochs=0, checkpoint=finished.result.exported[0])
    weights = torch.load(pretrain(**settings).exported[0], weights_only=True)
    assert all(torch.equal(weights[name], finished.after[name]) for name in weights)


def test_promise_05_a_checkpoint_starts_a_run_with_another_head(pretrain, short_run, finished):
    settings = short_run(
        epochs=0,
        checkpoint=finished.result.folder / "checkpoints/last.ckpt",
        method_args={"hidden_dim": 16, "output_dim": 8},
    )
    weights = torch.load(pretrain(**settings).exported[0], weights_only=True)
    assert all(torch.equal(weights[name], finished.after[name]) for name in weights)


def test_promise_08_overwrite_starts_metrics_and_log_anew(
    pretrain, short_run, read_metrics, finished_out
):
    (finished_out / "notes.txt").write_text("mine")
    result = pretrain(**short_run(overwrite=True, epochs=1))
    assert result.folder == finished_out
    assert len(read_metrics(result.folder)) == 3
    assert (result.folder / "train.log").read_text().count("Resolved configuration") == 1
    assert not (result.folder / "checkpoints/epoch=1-step=6.ckpt").exists()
    assert (result.folder / "notes.txt").read_text() == "mine"


def test_promise_10_gradient_clipping_through_trainer_args(pretrain, short_run, finished):
    tiny_clip = {"log_every_n_steps": 1, "gradient_clip_val": 1e-12}
    result = pretrain(**short_run(trainer_args=tiny_clip))
    # With gradients cut to nothing only weight decay moves the weights.
    clipped = torch.load(result.exported[0], weights_only=True)["0.weight"]
    start, unclipped = finished.before["0.weight"], finished.after["0.weight"]
    assert (clipped - start).norm() < 0.02 * (unclipped - start).norm()


@pytest.mark.slow
@pytest.mark.parametrize(("decayed", "expected"), [("all", 0.5), ("weights", 1.0), ("method", 1.0)])
def test_norms_are_decayed_where_the_settings_say_so(decayed, expected, pretrain, short_run):
    args = {"lr": 1e-6, "weight_decay": 5e5, "momentum": 0.0, "decayed": decayed}
    args |= {"lr_scale_method": "none", "warmup_epochs": 0, "final_lr_fraction": 1.0}
    one_step = {"max_steps": 1, "log_every_n_steps": 1}
    result = pretrain(**short_run(optim="sgd", optim_args=args, trainer_args=one_step))
    weights = torch.load(result.exported[0], weights_only=True)
    # Decay takes lr * weight_decay, a half; gradients count for nothing at this rate.
    assert weights["1.weight"].mean().item() == pytest.approx(expected, abs=1e-3)


def test_promise_12_tensorboard_and_jsonl_are_on_by_default(pretrain, short_run):
    result = pretrain(**short_run(loggers=None, epochs=1))
    names = {path.name.split(".")[0] for path in result.folder.iterdir() if path.is_file()}
    assert {"events", "metrics"} <= names


def test_gradient_accumulation_takes_fewer_and_larger_steps(pretrain, short_run, read_metrics):
    result = pretrain(**short_run(gradient_accumulation_steps=3))
    assert [line["step"] for line in read_metrics(result.folder)] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [2, 5])
def test_a_step_averages_the_batches_that_an_epoch_has_left(pretrain, short_run, accumulation):
    def gradients(**changes):
        found = []

        def keep(trainer, module, optimizer):
            found.append(torch.cat([p.grad.flatten() for p in module.parameters()]))

        callbacks = {"callbacks": [LambdaCallback(on_before_optimizer_step=keep)]}
        still = {"optim": "sgd", "optim_args": {"lr": 1e-30}, "precision": "64-true", "epochs": 1}
        pretrain(**short_run(trainer_args=callbacks, **still, **changes))
        return found

    each = gradients()
    steps = gradients(gradient_accumulation_steps=accumulation, overwrite=True)
    parts = torch.stack(each).split(accumulation)
    torch.testing.assert_close(steps, [part.mean(dim=0) for part in parts])


def test_embed_dim_adds_a_layer_and_leaves_the_exported_model_as_it_is(
    pretrain, short_run, finished
):
    result = pretrain(**short_run(embed_dim=5, epochs=1))
    exported = torch.load(result.exported[0], weights_only=True)
    assert exported.keys() == finished.before.keys()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_every_precision_of_a_cpu_trains(precision, pretrain, short_run, read_metrics):
    result = pretrain(**short_run(precision=precision, epochs=1))
    assert all(0 < line["train_loss"] < 20 for line in read_metrics(result.folder))


def test_epochs_zero_exports_the_model_as_it_came(pretrain, short_run):
    settings = short_run(epochs=0)
    before = {k: v.clone() for k, v in settings["model"].get_model().state_dict().items()}
    exported = torch.load(pretrain(**settings).exported[0], weights_only=True)
    assert all(torch.equal(exported[name], before[name]) for name in before)


def test_class_folders_give_accuracy_before_and_after(pretrain, short_run, own_images):
    for index, path in enumerate(sorted(own_images.iterdir())):
        target = own_images / f"class{index % 2}" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    result = pretrain(**short_run(data=own_images, epochs=1))
    assert 0 <= result.knn_before <= 1
    assert 0 <= result.knn_after <= 1


def test_without_labels_the_log_says_so(finished):
    assert finished.result.knn_before is None
    assert "No kNN accuracy" in (finished.result.folder / "train.log").read_text()


def test_the_rate_of_a_step_is_the_one_that_it_was_taken_with(pretrain, short_run, read_metrics):
    optim_args = {"lr": 0.1, "lr_scale_method": "none", "warmup_epochs": 1}
    used = []

    def note(trainer, module, optimizer):
        used.append(optimizer.param_groups[0]["lr"])

    pretrain(
        **short_run(
            optim_args={**optim_args, "warmup_max_fraction": 1.0},
            trainer_args={
                "log_every_n_steps": 1,
                "callbacks": [LambdaCallback(on_before_optimizer_step=note)],
            },
        )
    )
    logged = [line["lr"] for line in read_metrics(short_run()["out"])]
    assert logged == pytest.approx(used)
    assert logged[0] == pytest.approx(0.1 / 3)


@pytest.mark.slow
def test_gradients_take_no_memory_between_steps(pretrain, short_run):
    """With accumulation they stay until the optimizer has stepped."""
    kept = []

    def note(trainer, module, *args):
        kept.append(any(p.grad is not None for p in module.parameters()))

    pretrain(
        **short_run(
            gradient_accumulation_steps=2,
            batch_size=4,
            trainer_args={"callbacks": [LambdaCallback(on_train_batch_end=note)]},
        )
    )
    assert kept == [True, False] * (len(kept) // 2)
    assert kept


def test_a_loss_that_is_not_finite_stops_the_run_with_advice(pretrain, short_run):
    settings = short_run(optim_args={"lr": 1e30, "warmup_epochs": 0}, epochs=5)
    with pytest.raises(RunError, match=r"diverged.*smaller optim_args"):
        pretrain(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [True, False])
def test_corrupt_images_are_replaced_and_listed(in_memory, pretrain, short_run, own_images):
    (own_images / "03.png").write_bytes(b"")
    (own_images / "07.png").write_bytes((own_images / "08.png").read_bytes()[:60])
    result = pretrain(**short_run(data=own_images, num_workers=2, in_memory=in_memory))
    assert result.num_skipped == 2
    table = (result.folder / "skipped_images.csv").read_text()
    assert "03.png" in table
    assert "07.png" in table


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [True, False])
def test_too_many_corrupt_images_stop_the_run(in_memory, pretrain, short_run, own_images):
    for index in range(12):
        (own_images / f"{index:02}.png").write_text("not an image")
    with pytest.raises(DataError, match="max_skipped") as caught:
        pretrain(**short_run(data=own_images, num_workers=2, in_memory=in_memory))
    assert "Traceback" not in str(caught.value)


def test_a_refused_run_leaves_no_folder(pretrain, short_run, tmp_path):
    with pytest.raises(ConfigError):
        pretrain(**short_run(trainer_args={"max_epoch": 3}))
    assert not (tmp_path / "out").exists()


def test_a_model_that_fits_nothing_is_refused_before_the_folder_is_made(
    pretrain, short_run, tmp_path
):
    with pytest.raises(ConfigError):
        pretrain(**short_run(model=torch.nn.Linear(3, 3)))
    assert not (tmp_path / "out").exists()


def test_the_callers_random_state_and_logging_are_left_alone(pretrain, short_run):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    handlers = list(logging.getLogger("lightly_core").handlers)
    settings = short_run(epochs=1)
    torch.manual_seed(5)
    pretrain(**settings)
    assert torch.equal(torch.rand(2), expected)
    assert logging.getLogger("lightly_core").handlers == handlers


def test_determinism_lasts_as_long_as_the_run(pretrain, short_run, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = []
    look = LambdaCallback(
        on_train_start=lambda *_: seen.append(torch.are_deterministic_algorithms_enabled())
    )
    changes = {"deterministic": True, "benchmark": True, "callbacks": [look]}
    pretrain(**short_run(epochs=1, trainer_args=changes))
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.slow
def test_keeping_the_best_checkpoints_by_a_metric(pretrain, short_run):
    args = {"monitor": "train_loss", "save_top_k": 2, "min_seconds_between": 0}
    result = pretrain(**short_run(callbacks={"model_checkpoint": args}, epochs=4))
    assert len(list((result.folder / "checkpoints").glob("epoch=*"))) == 2


@pytest.mark.slow
def test_users_lightning_callbacks_run_beside_ours(pretrain, short_run):
    import lightning.pytorch as lightning

    class Counter(lightning.Callback):
        steps = 0

        def on_train_batch_end(self, *args):
            Counter.steps += 1

    pretrain(**short_run(trainer_args={"callbacks": [Counter()]}))
    assert Counter.steps == 6

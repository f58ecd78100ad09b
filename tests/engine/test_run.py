"""Whole runs on tiny images: what is written, and what the settings do."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file

from lightly_core.errors import ConfigError, DataError, RunError


def test_a_run_writes_what_the_design_promises(pretrain, short_run, read_metrics):
    result = pretrain(**short_run())
    written = {str(p.relative_to(result.folder)) for p in result.folder.rglob("*") if p.is_file()}
    assert written == {
        "config.json",
        "plugins.json",
        "train.log",
        "metrics.jsonl",
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


def test_the_recorded_configuration_has_no_auto_left(pretrain, short_run):
    result = pretrain(**short_run(accelerator="auto", precision="auto", num_workers="auto"))
    text = (result.folder / "config.json").read_text()
    config = json.loads(text)
    assert config.pop("strategy") == "auto"  # one process needs none
    assert '"auto"' not in json.dumps(config)
    assert config["optim"] == "sgd"
    assert config["method_args"]["temperature"] == 0.1
    assert config["transform_args"]["image_size"] == 16


def test_the_network_learns_and_is_exported_as_trained(pretrain, short_run):
    settings = short_run()
    body = settings["model"].get_model()
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    result = pretrain(**settings)
    exported = torch.load(result.folder / "exported_models/exported_last.pt", weights_only=True)
    assert exported.keys() == before.keys()
    assert any(not torch.equal(exported[name], before[name]) for name in before)
    assert all(torch.equal(exported[name], body.state_dict()[name]) for name in before)
    assert load_file(result.folder / "exported_models/exported_last.safetensors")


def test_checkpoints_load_without_unpickling_code(pretrain, short_run):
    result = pretrain(**short_run())
    checkpoint = torch.load(result.folder / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["lightly"]["exported_prefix"] == "method.model."
    assert json.loads(checkpoint["lightly"]["config"])["epochs"] == 2


def test_the_same_seed_gives_the_same_losses_and_another_does_not(
    pretrain, short_run, read_metrics, tmp_path
):
    losses = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = pretrain(**short_run(out=tmp_path / name, seed=seed))
        losses.append([line["train_loss"] for line in read_metrics(result.folder)])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_worker_processes_do_not_change_the_losses(pretrain, short_run, read_metrics, tmp_path):
    losses = []
    for workers in (0, 2):
        result = pretrain(
            **short_run(out=tmp_path / str(workers), num_workers=workers, in_memory=False)
        )
        losses.append([line["train_loss"] for line in read_metrics(result.folder)])
    assert losses[0] == losses[1]


def test_promise_02_seed_none_draws_a_new_seed_and_records_it(pretrain, short_run, tmp_path):
    seeds = []
    for name in "ab":
        result = pretrain(**short_run(out=tmp_path / name, seed=None, epochs=1))
        config = json.loads((result.folder / "config.json").read_text())
        assert config["derived"]["seed_drawn"] is True
        text = f"The seed was drawn; seed={config['seed']} repeats this run"
        assert text in (result.folder / "train.log").read_text()
        seeds.append(config["seed"])
    assert all(isinstance(seed, int) for seed in seeds)
    assert seeds[0] != seeds[1]


def test_a_given_seed_is_not_called_drawn(pretrain, short_run):
    result = pretrain(**short_run(seed=3, epochs=1))
    config = json.loads((result.folder / "config.json").read_text())
    assert (config["seed"], config["derived"]["seed_drawn"]) == (3, False)
    assert "seed was drawn" not in (result.folder / "train.log").read_text()


def test_a_process_uses_the_seed_that_the_one_which_started_it_drew(
    pretrain, short_run, monkeypatch
):
    monkeypatch.setenv("LIGHTLY_DRAWN_SEED", "123")
    result = pretrain(**short_run(seed=None, epochs=0))
    assert json.loads((result.folder / "config.json").read_text())["seed"] == 123


def test_a_drawn_seed_repeats_the_run(pretrain, short_run, read_metrics, tmp_path):
    drawn = pretrain(**short_run(out=tmp_path / "drawn", seed=None))
    seed = json.loads((drawn.folder / "config.json").read_text())["seed"]
    given = pretrain(**short_run(out=tmp_path / "given", seed=seed))
    losses = [[line["train_loss"] for line in read_metrics(r.folder)] for r in (drawn, given)]
    assert losses[0] == losses[1]


def test_promise_04_an_exported_file_starts_a_new_run(pretrain, short_run, tmp_path):
    first = pretrain(**short_run())
    settings = short_run(out=tmp_path / "two", epochs=0, checkpoint=first.exported[0])
    second = pretrain(**settings)
    tensors = [torch.load(result.exported[0], weights_only=True) for result in (first, second)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_promise_05_a_checkpoint_starts_a_run_with_another_head(pretrain, short_run, tmp_path):
    first = pretrain(**short_run())
    settings = short_run(
        out=tmp_path / "two",
        epochs=0,
        checkpoint=first.folder / "checkpoints/last.ckpt",
        method_args={"hidden_dim": 16, "output_dim": 8},
    )
    second = pretrain(**settings)
    tensors = [torch.load(result.exported[0], weights_only=True) for result in (first, second)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_promise_08_overwrite_starts_metrics_and_log_anew(pretrain, short_run, read_metrics):
    pretrain(**short_run())
    (short_run()["out"] / "notes.txt").write_text("mine")
    result = pretrain(**short_run(overwrite=True, epochs=1))
    assert len(read_metrics(result.folder)) == 3
    assert (result.folder / "train.log").read_text().count("Resolved configuration") == 1
    assert not (result.folder / "checkpoints/epoch=1-step=6.ckpt").exists()
    assert (result.folder / "notes.txt").read_text() == "mine"


def test_promise_10_gradient_clipping_through_trainer_args(
    pretrain, short_run, read_metrics, tmp_path
):
    tiny_clip = {"log_every_n_steps": 1, "gradient_clip_val": 1e-12}
    result = pretrain(**short_run(trainer_args=tiny_clip))
    free = pretrain(**short_run(out=tmp_path / "free"))
    # With gradients cut to nothing only weight decay moves the weights.
    clipped, unclipped = (
        torch.load(r.exported[0], weights_only=True)["0.weight"] for r in (result, free)
    )
    start = short_run()["model"].get_model().state_dict()["0.weight"]
    assert (clipped - start).norm() < 0.02 * (unclipped - start).norm()


def test_promise_12_tensorboard_and_jsonl_are_on_by_default(pretrain, short_run):
    result = pretrain(**short_run(loggers=None, epochs=1))
    names = {path.name.split(".")[0] for path in result.folder.iterdir() if path.is_file()}
    assert {"events", "metrics"} <= names


def test_gradient_accumulation_takes_fewer_and_larger_steps(pretrain, short_run, read_metrics):
    result = pretrain(**short_run(gradient_accumulation_steps=3))
    assert [line["step"] for line in read_metrics(result.folder)] == [1, 2]


def test_embed_dim_adds_a_layer_and_leaves_the_exported_model_as_it_is(pretrain, short_run):
    result = pretrain(**short_run(embed_dim=5))
    exported = torch.load(result.exported[0], weights_only=True)
    assert exported.keys() == short_run()["model"].get_model().state_dict().keys()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
def test_every_precision_of_a_cpu_trains(precision, pretrain, short_run, read_metrics):
    result = pretrain(**short_run(precision=precision))
    assert all(0 < line["train_loss"] < 20 for line in read_metrics(result.folder))


def test_epochs_zero_exports_the_model_as_it_came(pretrain, short_run):
    settings = short_run(epochs=0)
    before = {k: v.clone() for k, v in settings["model"].get_model().state_dict().items()}
    exported = torch.load(pretrain(**settings).exported[0], weights_only=True)
    assert all(torch.equal(exported[name], before[name]) for name in before)


def test_class_folders_give_accuracy_before_and_after(pretrain, short_run, image_folder):
    for index, path in enumerate(sorted(image_folder.iterdir())):
        target = image_folder / f"class{index % 2}" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    result = pretrain(**short_run(epochs=1))
    assert 0 <= result.knn_before <= 1
    assert 0 <= result.knn_after <= 1


def test_without_labels_the_log_says_so(pretrain, short_run):
    result = pretrain(**short_run(epochs=1))
    assert result.knn_before is None
    assert "No kNN accuracy" in (result.folder / "train.log").read_text()


def test_a_loss_that_is_not_finite_stops_the_run_with_advice(pretrain, short_run):
    settings = short_run(optim_args={"lr": 1e30, "warmup_epochs": 0}, epochs=5)
    with pytest.raises(RunError, match=r"diverged.*smaller optim_args"):
        pretrain(**settings)


@pytest.mark.parametrize("in_memory", [True, False])
def test_corrupt_images_are_replaced_and_listed(in_memory, pretrain, short_run, image_folder):
    (image_folder / "03.png").write_bytes(b"")
    (image_folder / "07.png").write_bytes((image_folder / "08.png").read_bytes()[:60])
    result = pretrain(**short_run(num_workers=2, in_memory=in_memory))
    assert result.num_skipped == 2
    table = (result.folder / "skipped_images.csv").read_text()
    assert "03.png" in table
    assert "07.png" in table


@pytest.mark.parametrize("in_memory", [True, False])
def test_too_many_corrupt_images_stop_the_run(in_memory, pretrain, short_run, image_folder):
    for index in range(12):
        (image_folder / f"{index:02}.png").write_text("not an image")
    with pytest.raises(DataError, match="max_skipped") as caught:
        pretrain(**short_run(num_workers=2, in_memory=in_memory))
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


def test_early_stopping_with_a_patience(pretrain, short_run, read_metrics):
    stopping = {"early_stopping": {"patience": 1, "min_delta": 100.0}}
    result = pretrain(**short_run(callbacks=stopping, epochs=6))
    assert read_metrics(result.folder)[-1]["step"] < 18


def test_keeping_the_best_checkpoints_by_a_metric(pretrain, short_run):
    args = {"monitor": "train_loss", "save_top_k": 2, "min_seconds_between": 0}
    result = pretrain(**short_run(callbacks={"model_checkpoint": args}, epochs=4))
    assert len(list((result.folder / "checkpoints").glob("epoch=*"))) == 2


def test_users_lightning_callbacks_run_beside_ours(pretrain, short_run):
    import lightning.pytorch as lightning

    class Counter(lightning.Callback):
        steps = 0

        def on_train_batch_end(self, *args):
            Counter.steps += 1

    pretrain(**short_run(trainer_args={"callbacks": [Counter()]}))
    assert Counter.steps == 6

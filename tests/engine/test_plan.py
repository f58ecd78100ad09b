"""What a run says before it starts: a table, and the memory that its networks need."""

import pytest
import torch
from short_run import run_settings, write_images

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.resolve import resolve
from lightly_core.config.reading.load import load_settings
from lightly_core.engine import entry
from lightly_core.engine.build import build_run
from lightly_core.engine.images import open_images, resolve_run
from lightly_core.engine.plan.plan import Plan
from lightly_core.engine.plan.size import bytes_text, count_text, size_of_run
from lightly_core.engine.plan.start import start_text
from lightly_core.engine.plan.table import changed_settings, plan_text
from lightly_core.plugins.discovery import get_plugins

CPU = Machine(cpus=4)
GIVEN = ("out=out", "data=images", "model=torchvision/resnet18", "method=simclr")


def loaded(*pairs):
    return load_settings(catalog=get_plugins().catalog, pairs=[*GIVEN, *pairs])


def rows(*pairs):
    settings = loaded(*pairs)
    plan = Plan(settings=settings, resolved=resolve(settings, CPU, 1000))
    lines = plan_text(plan, CPU).splitlines()
    return {line[:15].strip(): line[15:] for line in lines}


def test_the_table_marks_what_auto_chose_and_says_why():
    table = rows("recipe=paper")
    assert table["epochs"] == "10,000  [auto: the most; 100,000 steps are the aim of simclr]"
    assert table["num_workers"] == "3  [auto: 4 CPUs, one is kept for the training]"
    assert table["steps"] == "70,000, 7 an epoch; their time is logged after the first ones"
    assert table["views"] == "2 of 224 x 224 pixels, 3 channels"
    assert table["batch_size"] == "128 images"
    assert table["not defaults"] == "none beside those above"
    assert "--build" in table["parameters"]


def test_the_table_shows_defaults_that_were_replaced():
    table = rows("num_workers=3", "batch_size=64", "epochs=2")
    assert table["num_workers"] == "3  [default: auto]"
    assert table["batch_size"] == "64 images  [default: 128]"
    assert table["method"] == "simclr  [default: distillation]"
    assert "default" not in table["out"]


def test_the_table_is_wrapped_to_a_terminal():
    settings = loaded("transform_args.image_size=64", "callbacks.knn=none", "seed=5")
    plan = Plan(settings=settings, resolved=resolve(settings, CPU, 1000))
    lines = plan_text(plan, CPU, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()) == " ".join(plan_text(plan, CPU).split())


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        (["seed=7", "max_skipped=0.1"], {"seed": "7"}),
        (["seed=none"], {"seed": "none"}),
        (["callbacks.knn=none"], {"callbacks.knn": "none"}),
        (["transform_args.random_gray_scale=0.5"], {"transform_args.random_gray_scale": "0.5"}),
        (["method_args.temperature=0.3"], {"method_args.temperature": "0.3"}),
        (["optim=sgd", "optim_args.nesterov=true"], {"optim_args.nesterov": "true"}),
        (["model_args.a=https://u:p@h/x?k"], {"model_args.a": "https://h/x?..."}),
        (["loggers.tensorboard=none"], {"loggers.tensorboard": "none"}),
    ],
    ids=" ".join,
)
def test_only_what_differs_from_the_defaults_of_the_method_is_listed(pairs, expected):
    assert dict(changed_settings(loaded(*pairs))) == expected


# ------------------------------------------------------------------- parameters and memory


@pytest.fixture
def built(tmp_path):
    """The networks of a run, and its settings."""
    data = write_images(tmp_path / "images")

    def build(**changes):
        arguments = run_settings(out=tmp_path / "out", data=data, **changes)
        settings, plugins = entry.load(arguments=arguments)
        source = open_images(settings)
        resolved = resolve_run(settings, source, None, lambda: 0)
        return build_run(resolved, source, plugins.catalog), resolved

    return build


def tensor_bytes(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize(
    ("optim", "args"),
    [
        ("adamw", {}),
        ("adam", {}),
        ("sgd", {}),
        ("sgd", {"momentum": 0.0}),
        ("lars", {}),
        ("lars", {"momentum": 0.0}),
    ],
)
def test_memory_is_that_of_the_tensors_after_a_step(built, optim, args):
    made, resolved = built(optim=optim, optim_args=args)
    size = size_of_run(made.wrapper, made.method, resolved)
    optimizer = made.module.configure_optimizers()["optimizer"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name != "step"
    ]
    assert size.optimizer_bytes == tensor_bytes(kept)
    assert size.gradient_bytes == tensor_bytes(parameter.grad for parameter in parameters)
    assert size.weights_bytes == tensor_bytes(made.method.state_dict().values())
    assert size.backbone == sum(p.numel() for p in made.wrapper.parameters())


def test_the_teacher_is_counted_and_not_trained(built):
    args = {"hidden_dim": 8, "output_dim": 4}
    made, resolved = built(method="byol", method_args=args)
    size = size_of_run(made.wrapper, made.method, resolved)
    teacher = sum(parameter.numel() for parameter in made.method.teacher.parameters())
    assert (size.fixed, size.trained) == (
        teacher,
        sum(parameter.numel() for parameter in made.method.parameters()) - teacher,
    )
    text = start_text(resolved, size, resumed=False)
    assert f"{teacher:,} others are not trained" in text
    assert "\n  images      24\n" in text
    assert "not known before the first step" in text


def test_weights_of_half_precision_take_half(built):
    made, resolved = built(precision="bf16-true")
    half = size_of_run(made.wrapper, made.method, resolved)
    assert half.weights_bytes == tensor_bytes(made.method.to(torch.bfloat16).state_dict().values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (count_text(11_176_512), "11.2 million"),
        (count_text(1_234), "1,234"),
        (count_text(1_100_000_000), "1.1 billion"),
        (bytes_text(3 << 20), "3.0 MiB"),
        (bytes_text(180 << 20), "180 MiB"),
        (bytes_text(3 << 29), "1.5 GiB"),
    ],
)
def test_sizes_are_read_easily(text, expected):
    assert text == expected

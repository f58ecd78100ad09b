"""The reasons of "auto" name what decided it."""

import pytest

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.reasons import auto_reasons
from lightly_core.config.auto.resolve import resolve

CPU = Machine(cpus=4)


def reasons(load, *pairs, machine=CPU, images=1000):
    settings = load(*pairs)
    return auto_reasons(settings, resolve(settings, machine, images), machine)


@pytest.mark.parametrize(
    ("pairs", "machine", "name", "reason"),
    [
        ((), CPU, "epochs", "1,000 steps are the aim of toy"),
        (("batch_size=1000", "recipe=paper"), CPU, "epochs", "1,000 steps are the aim of toy"),
        (
            ("batch_size=1000",),
            CPU,
            "epochs",
            "200,000 images seen, a first budget for 1,000 images; recipe=paper takes the paper's "
            "1,000 steps",
        ),
        (("trainer_args.max_steps=9",), CPU, "epochs", "by trainer_args.max_steps"),
        ((), CPU, "num_workers", "4 CPUs, one is kept for the training"),
        ((), Machine(cpus=64), "num_workers", "the most; 64 CPUs"),
        ((), CPU, "precision", "the CPU does not compute bf16 natively"),
        ((), Machine(cpu_bf16=True), "precision", "the CPU computes bf16 natively"),
        (
            ("transform_args.image_size=16",),
            Machine(cpu_bf16=True),
            "precision",
            "on CPUs, torch's bf16 is not used for views below 32 pixels",
        ),
        ((), Machine(cpus=8, mps=True), "accelerator", "torch finds Apple's GPU"),
        ((), Machine(cpus=8, cuda_devices=2), "devices", "all CUDA devices"),
        ((), Machine(cpus=8, cuda_devices=2), "strategy", "several devices"),
    ],
)
def test_the_reason_names_what_decided(load, pairs, machine, name, reason):
    assert reasons(load, *pairs, machine=machine)[name] == reason


def test_a_given_value_has_no_reason(load):
    pairs = ("epochs=3", "num_workers=1", "precision=32-true", "accelerator=cpu", "devices=1")
    found = reasons(load, *pairs)
    assert found.keys().isdisjoint(pair.partition("=")[0] for pair in pairs)
    assert "optim" in found

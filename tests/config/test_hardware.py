import pytest
from attrs import evolve

from lightly_core.config.auto.machine import Machine
from lightly_core.config.reading.launch import Launch
from lightly_core.errors import ConfigError

CPU = Machine(cpus=4)
GPUS = Machine(cpus=64, cuda_devices=4, cuda_bf16=True)
MAC = Machine(cpus=8, mps=True)


# ------------------------------------------------------------------- hardware


@pytest.mark.parametrize(
    ("pairs", "machine", "accelerator", "devices"),
    [
        ([], CPU, "cpu", 1),
        ([], GPUS, "gpu", 4),
        ([], MAC, "mps", 1),
        (["accelerator=cpu"], GPUS, "cpu", 1),
        (["accelerator=cpu", "devices=2"], GPUS, "cpu", 2),
        (["accelerator=gpu"], GPUS, "gpu", 4),
        (["accelerator=cuda"], GPUS, "gpu", 4),
        (["accelerator=gpu"], MAC, "mps", 1),
        (["devices=-1"], GPUS, "gpu", 4),
        (["devices=2"], GPUS, "gpu", 2),
        (["devices='2'"], GPUS, "gpu", 2),
        (["devices=0,1"], GPUS, "gpu", [0, 1]),
        (["devices=3,"], GPUS, "gpu", [3]),
        (["devices=[1,3]"], GPUS, "gpu", [1, 3]),
    ],
)
def test_accelerator_and_devices(resolved, pairs, machine, accelerator, devices):
    run = resolved(*pairs, machine=machine).run
    assert (run.accelerator, run.devices) == (accelerator, devices)


def test_promise_15_a_comma_string_on_the_cpu_counts_processes_and_says_so(resolved):
    result = resolved("devices=0,1")
    assert (result.run.devices, result.world_size) == (2, 2)
    assert "CPUs cannot be chosen by number" in result.warnings[0]


@pytest.mark.parametrize(
    ("pairs", "machine", "text"),
    [
        (["accelerator=gpu"], CPU, "got 'gpu', but torch finds no GPU"),
        (["accelerator=cuda"], MAC, "got 'cuda', but torch finds an Apple GPU"),
        (["accelerator=mps"], GPUS, "got 'mps', but torch finds a CUDA device"),
        (["devices=5"], GPUS, "got 5, but there are only 4 devices, numbered 0 to 3"),
        (["devices=0,4"], GPUS, "got '0,4', but there are only 4 devices"),
        (["devices=2"], MAC, "got 2, but there is only 1 device"),
        (["precision=16-mixed"], CPU, "'16-mixed' does not work on accelerator 'cpu'"),
    ],
)
def test_what_the_machine_lacks_is_an_error(resolved, pairs, machine, text):
    with pytest.raises(ConfigError, match=text):
        resolved(*pairs, machine=machine)


@pytest.mark.parametrize(
    ("machine", "pairs", "precision"),
    [
        (CPU, [], "32-true"),
        (evolve(CPU, cpu_bf16=True), [], "bf16-mixed"),
        (evolve(CPU, cpu_bf16=True), ["transform_args.image_size=31"], "32-true"),
        (evolve(CPU, cpu_bf16=True), ["transform_args.image_size=32"], "bf16-mixed"),
        (GPUS, ["transform_args.image_size=16"], "bf16-mixed"),
        (GPUS, [], "bf16-mixed"),
        (evolve(GPUS, cuda_bf16=False), [], "32-true"),
        (evolve(GPUS, cuda_bf16=False, cpu_bf16=True), [], "32-true"),
        (evolve(GPUS, cpu_bf16=False), ["accelerator=cpu"], "32-true"),
        (evolve(MAC, cpu_bf16=True), [], "32-true"),
        (GPUS, ["precision=16-mixed"], "16-mixed"),
    ],
)
def test_precision_auto_is_bf16_where_it_is_native(resolved, machine, pairs, precision):
    assert resolved(*pairs, machine=machine).run.precision == precision


@pytest.mark.parametrize(
    ("machine", "pairs", "matmul"),
    [
        (GPUS, [], "high"),
        (CPU, [], "highest"),
        (MAC, [], "highest"),
        (GPUS, ["float32_matmul_precision=medium"], "medium"),
    ],
)
def test_float32_matmul_auto_is_high_on_cuda(resolved, machine, pairs, matmul):
    assert resolved(*pairs, machine=machine).run.float32_matmul_precision == matmul


@pytest.mark.parametrize(
    ("machine", "pairs", "strategy"),
    [
        (CPU, [], "auto"),
        (GPUS, [], "ddp"),
        (GPUS, ["devices=1"], "auto"),
        (GPUS, ["devices=1", "num_nodes=2"], "ddp"),
        (CPU, ["devices=2"], "ddp"),
        (GPUS, ["strategy=fsdp"], "fsdp"),
    ],
)
def test_strategy_auto(resolved, machine, pairs, strategy):
    assert resolved(*pairs, machine=machine).run.strategy == strategy


def test_objects_for_accelerator_and_strategy_are_kept(resolved):
    thing = object()
    run = resolved(accelerator=thing, strategy=thing, devices=2, machine=GPUS).run
    assert run.accelerator.value is thing
    assert run.strategy.value is thing
    assert (run.devices, run.precision) == (2, "32-true")


# ------------------------------------------------------------------- workers


@pytest.mark.parametrize(
    ("machine", "pairs", "workers"),
    [
        (Machine(cpus=1), [], 0),
        (Machine(cpus=2), [], 1),
        (Machine(cpus=8), [], 7),
        (Machine(cpus=64), [], 16),
        (Machine(cpus=64, cuda_devices=8), [], 7),
        (Machine(cpus=4, cuda_devices=4), [], 1),
        (Machine(cpus=8, cpus_per_process=True, cuda_devices=4), [], 7),
        (Machine(cpus=64, cuda_devices=8), ["devices=2"], 16),
        (Machine(cpus=8, cuda_devices=2), ["num_nodes=4"], 3),
        (Machine(cpus=64), ["num_workers=3"], 3),
        (Machine(cpus=64), ["num_workers=0"], 0),
    ],
)
def test_workers(resolved, machine, pairs, workers):
    assert resolved(*pairs, machine=machine).run.num_workers == workers


def launched(local_size, num_nodes=1, **machine):
    launch = Launch(
        launcher="torchrun",
        world_size=local_size * num_nodes,
        rank=0,
        local_size=local_size,
        local_rank=0,
    )
    return Machine(launch=launch, **machine)


@pytest.mark.parametrize(
    ("pairs", "machine"),
    [
        ([], launched(2, 3)),
        (["devices=-1", "num_nodes=3"], launched(2, 3)),
        (["devices=2"], launched(2, 3, cuda_devices=8)),
        (["devices=[4, 6]"], launched(2, 3, cuda_devices=8)),
    ],
)
def test_a_launcher_says_how_many_devices_and_nodes_there_are(resolved, pairs, machine):
    run = resolved("batch_size=96", *pairs, machine=machine)
    assert (run.world_size, run.local_devices, run.run.num_nodes) == (6, 2, 3)
    assert run.run.strategy == "ddp"


@pytest.mark.parametrize(
    ("pairs", "machine", "words"),
    [
        (["devices=1"], launched(2), "devices: got 1, but torchrun started 2"),
        (["devices=4"], launched(1), "devices: got 4, but torchrun started 1"),
        (["num_nodes=2"], launched(2, 3), "num_nodes: got 2, but torchrun started .* 3"),
        ([], launched(4, cuda_devices=1), "4 processes .* sees 1"),
        (["strategy=ddp_spawn"], CPU, "strategy: got ddp_spawn"),
        (["strategy=ddp_fork_find_unused_parameters_true"], CPU, "use strategy=ddp"),
    ],
)
def test_what_contradicts_the_launcher_or_needs_multiprocessing_is_refused(
    resolved, pairs, machine, words
):
    with pytest.raises(ConfigError, match=words):
        resolved(*pairs, machine=machine)

"""Every method takes steps on a CUDA device: the same as on a CPU, without waiting, in bfloat16."""

import math
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch

import lightly_core
from lightly_core.benchmarking.expansion import expand
from lightly_core.benchmarking.suite import load_suite
from lightly_core.config.options.suite import SuiteConfig
from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.config.reading.structure import structure
from lightly_core.plugins.discovery import get_plugins

pytestmark = pytest.mark.gpu

SUITE = Path(__file__).parents[2] / "examples" / "benchmarks" / "smoke.toml"
NUM_STEPS = 4
# Some numbers are drawn on the device, where generators differ from those of a CPU.
DRAW_ON_THE_DEVICE = {"densecl", "lejepa", "mocov2", "visreg"}
# Of these torch knows no decomposition without looking at the result.
WAIT_FOR_SINGULAR_VALUES = {"mmcr"}


class NeverWait(lightning.Callback):
    """Makes every wait for the device an error in the third step, its views included.

    Two steps have made all buffers by then, and metrics are read after the fourth.
    """

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        torch.cuda.set_sync_debug_mode("error" if batch_index == 1 else "default")


@pytest.fixture
def waiting_is_allowed_again():
    yield
    torch.cuda.set_sync_debug_mode("default")


def suite_rows(out):
    return load_suite(
        catalog=get_plugins().catalog, suite=SUITE, arguments={"out": str(out)}, check_paths=False
    ).rows


def run_settings(row, out, **changes):
    steps = {"limit_train_batches": NUM_STEPS, **changes.pop("trainer_args", {})}
    return {
        **row.run,
        "epochs": 1,
        "out": str(out),
        "callbacks": {"knn": None},
        "trainer_args": steps,
        **changes,
    }


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of the suite by name; teachers of the distillations are there, untrained."""
    out = tmp_path_factory.mktemp("suite")
    found = {row.name: row for row in suite_rows(out)}
    for name in ("simclr", "simclr-vit"):
        settings = run_settings(found[name], out / name / "run", accelerator="cpu")
        lightly_core.pretrain(**{**settings, "epochs": 0})
    return found


def row_names():
    """The names alone, which cost much less than rows whose settings are checked."""
    config = structure(read_toml(SUITE), SuiteConfig, path="suite")
    return [draft.name for draft in expand(config, get_plugins().catalog)[0]]


@pytest.fixture(params=row_names())
def row(request, rows):
    return rows[request.param]


def test_losses_equal_those_on_the_cpu(row, tmp_path, read_losses):
    losses = {}
    for accelerator in ("cpu", "gpu"):
        result = lightly_core.pretrain(
            **run_settings(
                row,
                tmp_path / accelerator,
                accelerator=accelerator,
                precision="32-true",
                float32_matmul_precision="highest",
                trainer_args={"log_every_n_steps": 1},
            )
        )
        losses[accelerator] = read_losses(result)
    assert len(losses["gpu"]) == NUM_STEPS
    if row.name not in DRAW_ON_THE_DEVICE:
        assert losses["gpu"][0] == pytest.approx(losses["cpu"][0], rel=1e-3)
    # Adam divides small gradients by their size, rounding included: steps drift apart.
    assert losses["gpu"] == pytest.approx(losses["cpu"], rel=5e-2, abs=5e-3)


@pytest.mark.usefixtures("waiting_is_allowed_again")
def test_a_step_by_default_settings_never_waits(row, tmp_path, read_losses):
    callbacks = [] if row.name in WAIT_FOR_SINGULAR_VALUES else [NeverWait()]
    result = lightly_core.pretrain(
        **run_settings(row, tmp_path / "out", trainer_args={"callbacks": callbacks})
    )
    config = (result.folder / "config.json").read_text()
    assert '"accelerator": "gpu"' in config
    assert '"precision": "bf16-mixed"' in config
    assert all(math.isfinite(loss) for loss in read_losses(result))
    weights = torch.load(result.exported[0], weights_only=True)
    assert all(not value.is_cuda for value in weights.values() if torch.is_tensor(value))

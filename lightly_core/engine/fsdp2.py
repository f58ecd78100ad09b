"""``strategy=fsdp2``: weights, gradients and optimizer states are sharded among the processes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.settings import PythonObject
from lightly_core.engine.module import TrainingModule
from lightly_core.errors import ConfigError
from lightly_core.parts.sharding import sharded_like, whole

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

NAME = "fsdp2"
#: Numbers of a block from which on it is gathered by itself, when it is needed.
LEAST_NUMBERS = 1 << 16


class FSDP2Strategy(ModelParallelStrategy):
    """Fully sharded data parallelism by `torch.distributed.fsdp.fully_shard`.

    Checkpoints are those of a single process. So a run can go on with any strategy and any number
    of processes. Lightning's own strategy writes optimizer states with other numbers.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Start the process group, with one dimension over all processes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: lightning.Trainer) -> None:
        """Shard the module, and build the optimizer of the shards."""
        module = self.lightning_module
        assert isinstance(module, TrainingModule)
        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        self.model = self.precision_plugin.convert_module(module)
        self.model_to_device()
        if self.is_global_zero:
            # Not as a part of the module, which is sharded and saved with all its parts.
            vars(module)["replica"] = copy.deepcopy(module.method.exported_wrapper())
        if self._layer_sync is not None:
            self.model = self._layer_sync.apply(module)
        shard(module, self.device_mesh["data_parallel"])
        self.barrier()
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning passes the saved states to `load_optimizer_state_dict`."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return all tensors in main memory, on the first process only."""
        assert self.lightning_module is not None
        state: dict[str, Any] = self._whole(self.lightning_module.state_dict())
        return state

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the states of all parameters in main memory, on the first process only."""
        module = self.lightning_module
        assert isinstance(module, TrainingModule)
        optimizer = getattr(optimizer, "_optimizer", optimizer)  # Lightning's wrapper
        state = self._whole(optimizer.state_dict())
        return _with_fused(state, module.fused(sharded=False)) if state else state

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, in each process."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this process's rows of all tensors."""
        module = self.lightning_module
        assert module is not None
        own = module.state_dict()
        state = {
            name: sharded_like(value, own[name]) if isinstance(own.get(name), Tensor) else value
            for name, value in checkpoint["state_dict"].items()
        }
        module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this process's rows of the optimizer's states."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            states = {
                number: {key: _part(value, parameters[number]) for key, value in state.items()}
                for number, state in saved["state"].items()
            }
            loaded = {**saved, "state": states}
            optimizer.load_state_dict(_with_fused(loaded, optimizer.defaults.get("fused")))

    def _whole(self, value: Any) -> Any:  # noqa: ANN401 - any content of a state dict
        """Gather all shards, one after the other. Other processes than the first keep nothing."""
        if isinstance(value, Tensor):
            gathered = whole(value.detach())
            if not self.is_global_zero:
                return None
            # A fused optimizer pairs the numbers of a state with those of its parameter by their
            # places in memory, so the layout has to be that of a single process.
            module = self.lightning_module
            by_channel = gathered.dim() == 4 and getattr(module, "channels_last", False)
            layout = torch.channels_last if by_channel else torch.contiguous_format
            return gathered.cpu().contiguous(memory_format=layout)
        if isinstance(value, Mapping):
            items = {key: self._whole(inner) for key, inner in value.items()}
            return items if self.is_global_zero else {}
        if isinstance(value, list | tuple):
            return type(value)([self._whole(inner) for inner in value])
        return value


class GatherNetwork(lightning.Callback):
    """Gather the network that is measured and exported, before the callbacks that do so."""

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Gather the initial weights."""
        gather_network(module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Gather the weights of the epoch."""
        gather_network(module)

    def on_train_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Gather the final weights."""
        gather_network(module)

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        batch: object,
        batch_index: int,
    ) -> None:
        """Send the buffers of the first process to the others, as DistributedDataParallel does."""
        broadcast_buffers(module.method)


def shard(module: TrainingModule, mesh: DeviceMesh) -> None:
    """Shard all parameters of a module in place.

    Large blocks of the backbones are gathered when they are needed, and released after that. All
    other parameters are gathered for a whole step.

    Args:
        module: On the device of this process.
        mesh: The processes, in one dimension.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method  # takes 0.5 s

    for parameter in module.parameters():  # channels_last is refused
        parameter.data = parameter.data.contiguous()
    for block in blocks(module.method):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, "training_step")


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of lists and sequences of modules that are large enough, outermost ones."""
    for child in module.children():
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and _is_block(child):
            yield child
        else:
            yield from blocks(child)


def _is_block(module: nn.Module) -> bool:
    # Containers have no forward pass of their own, or are split further.
    container = isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.Sequential))
    return not container and sum(p.numel() for p in module.parameters()) >= LEAST_NUMBERS


def gather_network(module: TrainingModule) -> None:
    """Copy the exported wrapper's weights to the replica on the first process. All must call it."""
    state = module.method.exported_wrapper().state_dict()
    gathered = {
        name: whole(value.detach()) if isinstance(value, Tensor) else value
        for name, value in state.items()
    }
    if module.replica is not None:
        module.replica.load_state_dict(gathered)


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Set all buffers to those of the first process, with one message for each dtype."""
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for buffer in module.buffers():
        kinds.setdefault(buffer.dtype, []).append(buffer)
    for buffers in kinds.values():
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        dist.broadcast(flat, 0)
        parts = torch.split(flat, [buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))


def refuse_fsdp2(resolved: Resolved) -> None:
    """Refuse settings with which weights cannot be sharded.

    Raises:
        ConfigError: Names all of them.
    """
    run = resolved.run
    if run.strategy != NAME:
        return
    problems = []
    if not vars(type(resolved.method)).get("shardable", False):
        problems.append(
            f"method '{resolved.method_record.name}' has not been compared with sharded weights; "
            "use ddp, or compare it and set shardable=True in its class of options"
        )
    if resolved.world_size == 1:
        problems.append("it shards weights among several devices, but got devices=1; use ddp")
    if isinstance(run.model, PythonObject):
        problems.append(
            f"it changes the modules that it shards, but got the object {run.model}; give the "
            "model by name, or use ddp"
        )
    if run.precision == "16-mixed":
        problems.append(
            "gradients of 16-mixed cannot be scaled in shards; use precision=bf16-mixed"
        )
    if run.compile:
        problems.append("compiled backbones are not sharded; set compile=false")
    if problems:
        raise ConfigError.of([f"config.strategy: fsdp2: {problem}" for problem in problems])


def _with_fused(state: dict[str, Any], fused: bool | None) -> dict[str, Any]:
    """Return an optimizer's state whose groups are fused or not; LARS never is."""
    groups = [
        {**group, "fused": fused} if "fused" in group else group for group in state["param_groups"]
    ]
    return {**state, "param_groups": groups}


def _part(value: object, parameter: Tensor) -> object:
    """Return the rows of a state, such as a momentum, that belong to those of its parameter."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return sharded_like(value, parameter)
    return value

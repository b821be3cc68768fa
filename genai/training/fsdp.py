"""Sharding of weights, gradients, averages and optimizer states over processes (FSDP2, ``fully_shard``)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from genai.training.shards import shard_like
from genai.training.virtual_ranks import OrderedReduceScatter


class ShardedStrategy(DDPStrategy):
    """Lightning's DDP strategy, with shards in place of replicas.

    Each process writes its shards of a checkpoint. They are joined when it is loaded, so any strategy and any number of
    processes can resume it.
    """

    writers: Any
    """The processes once more, for what their saving threads tell each other while they train."""

    def model_to_device(self) -> None:
        """Do nothing yet, because the unsharded model may not fit on one device."""

    def configure_ddp(self) -> None:
        module: Any = self.lightning_module
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        self.writers = distributed.new_group(backend="gloo", timeout=self._timeout)
        unsharded = list(module.method.parameters())
        for network in (*module.method.networks().values(), module.ema.module):
            shard(network, mesh)
        if module.settings.virtual_ranks > 1:
            for part in _sharded_parts(module.method):
                part.set_custom_reduce_scatter(OrderedReduceScatter())  # type: ignore[arg-type]
        sharded = dict(zip(unsharded, module.method.parameters(), strict=True))
        for optimizer in module.configure_optimizers():
            for group in optimizer.param_groups:
                group["params"] = [sharded[parameter] for parameter in group["params"]]
        module.to(self.root_device)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        self.checkpoint_io.save_checkpoint(checkpoint, filepath, storage_options=self.writers)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for number, values in state["state"].items():
                values.update({name: shard_like(value, parameters[number]) for name, value in values.items()})
        super().load_optimizer_state_dict(checkpoint)


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard ``module``: members of its plain ``ModuleList``s are gathered one at a time, the rest together.

    Such members must be used by calling them, because gathering is a forward hook.
    """
    for part in reversed(list(module.modules())):  # inner modules first
        for child in part if type(part) is nn.ModuleList else ():
            if type(child) is not nn.ModuleList:
                fully_shard(child, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=False)


def _sharded_parts(module: nn.Module) -> list[FSDPModule]:
    return [part for part in module.modules() if isinstance(part, FSDPModule)]


@contextmanager
def accumulate_gradients(module: nn.Module) -> Iterator[None]:
    """Context in which each process adds its gradients, whole, to those of the next backward pass outside it."""
    parts = _sharded_parts(module)
    for part in parts:
        part.set_requires_gradient_sync(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_requires_gradient_sync(True, recurse=False)


@contextmanager
def gather_weights(module: nn.Module) -> Iterator[None]:
    """Gather all weights of ``module`` in every process, which may then use it alone. All have to enter together.

    A module that is not sharded does not change.
    """
    parts = _sharded_parts(module)
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not module, recurse=False)

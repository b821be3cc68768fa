"""Weights, gradients, averages and the optimizer's state in shards, one a process (FSDP2, ``fully_shard``)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


class Sharded(DDPStrategy):
    """Lightning's processes for DDP, with shards in place of replicas.

    What it saves is whole, named and numbered as in any other run, so that any kind of run can go on from it.
    """

    def model_to_device(self) -> None:
        """Not yet: the whole model may be too much for one device."""

    def configure_ddp(self) -> None:
        learner: Any = self.lightning_module
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        before = list(learner.method.parameters())
        for module in (*learner.method.players().values(), learner.ema.module):
            shard(module, mesh)
        after = dict(zip(before, learner.method.parameters(), strict=True))
        for optimizer in learner.configure_optimizers():
            for group in optimizer.param_groups:
                group["params"] = [after[parameter] for parameter in group["params"]]
        learner.to(self.root_device)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return self._whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return self._whole(super().optimizer_state(optimizer))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for number, values in state["state"].items():
                values.update({name: _like(value, parameters[number]) for name, value in values.items()})
        super().load_optimizer_state_dict(checkpoint)

    def _whole(self, state: dict[str, Any]) -> dict[str, Any]:
        """With every tensor gathered: all processes have to call it, the first one, which writes, gets the values."""

        def gathered(value: DTensor) -> Tensor:
            whole = value.full_tensor()
            return whole.cpu() if self.is_global_zero else whole.new_empty(0)

        return apply_to_collection(state, DTensor, gathered)


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Cut ``module`` up: the members of its plain ``ModuleList``s are gathered one at a time, the rest together.

    Such a member has to be used by calling it.
    """
    for part in reversed(list(module.modules())):  # the inner ones first
        for child in part if type(part) is nn.ModuleList else ():
            if type(child) is not nn.ModuleList:
                fully_shard(child, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=False)


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Within it every process has all of ``module``'s weights, and may use them alone. All have to enter together.

    A module that is not sharded stays as it is.
    """
    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not module, recurse=False)


def _like(value: Tensor, parameter: DTensor) -> Tensor:
    """The shard of ``value`` that belongs to that of ``parameter``; what is no tensor of its shape stays whole."""
    if value.shape != parameter.shape:
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)

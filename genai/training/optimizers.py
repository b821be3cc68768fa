"""Optimizer with Muon for hidden matrices and AdamW for all other parameters."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from genai.core.errors import CorruptCheckpoint, UserError, join_names
from genai.networks.layers import Readout, fast_bfloat16
from genai.training.shards import own_shard, shard_like, whole_tensor

LearningRate = Annotated[float, Ge(0), Le(10)]
MOMENTS = {False: ("step", "exp_avg", "exp_avg_sq"), True: ("momentum",)}
"""Names of the states of a parameter, of AdamW and of Muon."""
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class MuonAdamW(Optimizer):
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for the weights of linear layers and convolutions,
    AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) for embeddings, readouts, tables, gains and biases.

    Args:
        module: its trainable parameters are optimized.
        lr: learning rate of AdamW.
        embedding_lr, head_lr: learning rates of embeddings and of ``Readout``s.
        matrix_lr: learning rate of Muon; ``None``: AdamW with ``lr`` for matrices too.
        betas, eps: of AdamW.
        momentum: Nesterov momentum of Muon.
        iterations: number of Newton-Schulz iterations of Muon.
        weight_decay: decoupled weight decay of matrices and tables.
    """

    def __init__(
        self,
        module: nn.Module,
        lr: LearningRate = 0.01,
        embedding_lr: LearningRate = 0.02,
        head_lr: LearningRate = 0.004,
        matrix_lr: LearningRate | None = 0.02,
        betas: Sequence[Annotated[float, Ge(0), Lt(1)]] = (0.9, 0.95),
        eps: Annotated[float, Ge(0)] = 1e-10,
        momentum: Annotated[float, Ge(0), Lt(1)] = 0.95,
        iterations: Annotated[int, Ge(1), Le(20)] = 3,
        weight_decay: Annotated[float, Ge(0), Le(10)] = 0.0,
    ) -> None:
        if len(betas) != 2:
            raise ValueError(f"betas={list(betas)}: it should be two numbers.")
        by_kind = parameters_by_kind(module)
        matrices = by_kind.pop("matrix")
        rates = {"embedding": embedding_lr, "head": head_lr, "table": lr, "other": lr}
        groups: list[dict[str, Any]] = [
            {"params": parameters, "lr": rates[kind], "muon": False, "weight_decay": weight_decay * (kind == "table")}
            for kind, parameters in by_kind.items()
        ]
        groups.append({"params": matrices, "lr": lr if matrix_lr is None else matrix_lr, "muon": matrix_lr is not None})
        shared = {"betas": tuple(betas), "eps": eps, "momentum": momentum, "iterations": iterations}
        names = ["adamw" if rates[kind] == lr else kind for kind in by_kind] + [
            "muon" if matrix_lr is not None else "adamw"
        ]
        self.group_names = [name for name, group in zip(names, groups, strict=True) if group["params"]]
        super().__init__([group for group in groups if group["params"]], {"weight_decay": weight_decay, **shared})
        for group in self.param_groups:
            group["base_lr"] = group["lr"]

    @property
    def rate_options(self) -> str:
        """The learning rates to lower first, for messages."""
        return "optimizer.lr=... or optimizer.matrix_lr=..."

    def rates(self) -> dict[str, float]:
        """Return the current learning rates: ``lr``, the largest, and those that differ from it.

        ``lr_muon`` and ``lr_adamw`` are of the two optimizers, ``lr_embedding`` and ``lr_head`` of parameters for which
        AdamW has a rate of their own.
        """
        largest = max(self.param_groups, key=lambda group: group["base_lr"])
        named = zip(self.group_names, self.param_groups, strict=True)
        others = {f"lr_{name}": group["lr"] for name, group in named if group["base_lr"] != largest["base_lr"]}
        return {"lr": largest["lr"], **others}

    def set_factor(self, factor: float) -> None:
        """Scale the learning rate of every group."""
        for group in self.param_groups:
            group["lr"] = group["base_lr"] * factor

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        """Check that a state belongs to these parameters.

        Raises:
            UserError: it belongs to another kind of optimizer.
            CorruptCheckpoint: something is missing, of a wrong type or shape, or negative.
        """
        groups, states = state_dict.get("param_groups"), state_dict.get("state")
        if not isinstance(states, dict) or not isinstance(groups, list) or not all(map(_is_group, groups)):
            raise CorruptCheckpoint("an optimizer state has no state or no param_groups.")
        if [group["muon"] for group in groups] != [group["muon"] for group in self.param_groups]:
            raise UserError("the run was trained with another optimizer; a resumed run keeps its kind of optimizer.")
        sizes = [[len(group["params"]) for group in each] for each in (groups, self.param_groups)]
        numbers = [number for group in groups for number in group["params"]]
        if sizes[0] != sizes[1] or numbers != list(range(len(numbers))) or not states.keys() <= set(numbers):
            raise CorruptCheckpoint("an optimizer state is of other parameters.")
        own = [(parameter, group["muon"]) for group in self.param_groups for parameter in group["params"]]
        for number, values in states.items():
            _check_moments(values, *own[number], f"state {number} of an optimizer")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state, but keep this optimizer's own rates and decays. Raise ``UserError`` as ``check_state``."""
        own_settings = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        self.check_state(state_dict)
        super().load_state_dict(state_dict)
        for group, values in zip(self.param_groups, own_settings, strict=True):
            group.update(values)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            result = closure() if closure is not None else None
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["muon"]:
                for shape in dict.fromkeys(parameter.shape for parameter in parameters):
                    self._muon([parameter for parameter in parameters if parameter.shape == shape], group)
            elif parameters:
                self._adamw(parameters, group)
            for parameter in parameters:  # ``data`` hides the change from what depends on it, such as packed weights
                increment_version(parameter)
        return result

    def _adamw(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                self.state[parameter]["exp_avg"] = torch.zeros_like(parameter)
                self.state[parameter]["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        # not fused for shards on CPUs: that kernel rounds the end of a tensor, which fills no vector, in another way
        kinds = ("cuda",) if own_shard(parameters[0]) is not parameters[0] else ("cpu", "cuda")
        adamw(
            [parameter.data for parameter in parameters],
            _gradients(parameters),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=parameters[0].device.type in kinds,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _muon(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Update all weights of one shape at once; that of a convolution is the matrix (out, in x kernel)."""
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        weights, gradients = [parameter.data for parameter in parameters], _gradients(parameters)
        buffers = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        parts = torch._foreach_lerp(gradients, buffers, group["momentum"])
        updates = torch.stack([whole_tensor(part) for part in parts]).flatten(2)
        _, rows, columns = updates.shape
        half = fast_bfloat16(updates.device.type)
        orthogonal = orthogonalize(updates.bfloat16() if half else updates, group["iterations"])
        updates = orthogonal.to(weights[0].dtype).reshape(-1, *parameters[0].shape)
        scale = max(1.0, rows / columns) ** 0.5
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        shards = [shard_like(update, weight) for update, weight in zip(updates.unbind(), weights, strict=True)]
        torch._foreach_add_(weights, shards, alpha=-group["lr"] * scale)


def _is_group(group: Any) -> bool:
    if not isinstance(group, dict) or type(group.get("muon")) is not bool or not isinstance(group.get("params"), list):
        return False
    return all(math.isfinite(value) for value in group.values() if isinstance(value, float))


def _check_moments(values: Any, parameter: nn.Parameter, muon: bool, name: str) -> None:
    """Raise ``CorruptCheckpoint`` unless ``values`` are what ``MuonAdamW`` keeps of a parameter."""
    shapes = {moment: () if moment == "step" else parameter.shape for moment in MOMENTS[muon]}
    if not isinstance(values, dict) or values.keys() != shapes.keys():
        raise CorruptCheckpoint(f"{name} should have {join_names(shapes)}.")
    for moment, value in values.items():
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.shape != shapes[moment]:
            raise CorruptCheckpoint(f"{name}: {moment} should be a tensor of shape {tuple(shapes[moment])}.")
        own = own_shard(value)  # a process may have no rows of it
        if moment in ("step", "exp_avg_sq") and own.numel() and own.min() < 0:
            raise CorruptCheckpoint(f"{name}: {moment} is negative.")


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def orthogonalize(matrices: Tensor, iterations: int) -> Tensor:
    """Approximate the nearest (semi-)orthogonal matrices to (n, rows, columns) by a quintic Newton-Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ
    x = matrices
    transpose = x.shape[1] > x.shape[2]
    x = x.mT if transpose else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return (x.mT if transpose else x).to(matrices.dtype)


def parameters_by_kind(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Group trainable parameters by kind.

    Kinds are ``matrix`` (weights of linear layers and convolutions), ``embedding``, ``head``, ``table`` (others with
    several dimensions, such as learned positions) and ``other``. A shared parameter has the kind of its first layer.
    """
    kinds: dict[str, list[nn.Parameter]] = {kind: [] for kind in ("matrix", "embedding", "head", "table", "other")}
    added: set[int] = set()
    for child in module.modules():
        for name, parameter in child.named_parameters(recurse=False):
            kind = "other"
            if isinstance(child, nn.Embedding):
                kind = "embedding"
            elif isinstance(child, Readout):
                kind = "head"
            elif name == "weight" and isinstance(child, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                kind = "matrix"
            elif parameter.ndim > 1:
                kind = "table"
            if parameter.requires_grad and id(parameter) not in added:
                added.add(id(parameter))
                kinds[kind].append(parameter)
    return kinds

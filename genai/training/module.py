"""LightningModule that trains any method.

It handles optimizers, averaged weights, noise seeding, gradient clipping and accumulation, validation and the content
of checkpoints.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.utils.data import DataLoader

from genai.core.batch import Batch
from genai.core.data import PackedDataset
from genai.core.energy import Energy, EnergyMeter, energy_of
from genai.core.errors import RunError
from genai.core.loader import RankBatches, TrainBatches, train_loader
from genai.core.seeding import seed_noise
from genai.inference.validation import validation_losses
from genai.methods.base import Method
from genai.runs.checkpoint import CheckpointHeader
from genai.training.checkpoint_state import known_progress
from genai.training.config import TrainSettings
from genai.training.ema import create_ema, use_averaged_weights
from genai.training.fsdp import ShardedStrategy, accumulate_gradients, gather_weights
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import LRSchedule
from genai.training.shards import whole_tensor
from genai.training.virtual_ranks import RankSum, TreeSum, VirtualRanks


class TrainingModule(LightningModule):
    """Trains ``method`` on ``train``.

    It has its own step counter, because Lightning's counts the steps of every optimizer, and its own clock, which
    continues when a run is resumed.

    Attributes:
        header: of the checkpoints; its values that change in training are set when one is saved.
        step: number of optimizer steps so far.
        seconds, cpu_seconds: time of training so far, including validation and previews.
        energy: of all processes since this start, as of the last ``sum_cpu_seconds``.
        step_metrics: metrics of the latest step, by name.
        between_steps: false while only some of the networks have been updated in a step.
        best_val_loss: lowest validation loss so far.
        pending_metrics: metrics of this step that are logged after its validation; ``None``: there are none.
    """

    def __init__(
        self,
        method: Method,
        optimizers: dict[str, MuonAdamW],
        train: PackedDataset,
        val: PackedDataset,
        lr_schedule: LRSchedule,
        settings: TrainSettings,
        header: CheckpointHeader,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = header.adapter is None  # a checkpoint of an adapter has no weights of its base
        self.method = method
        self.ema = create_ema(method.ema_module, settings.ema)
        if method.uses_average:
            method.set_average(self.ema.module)
        self.lr_schedule, self.settings, self.header = lr_schedule, settings, header
        self.step, self.best_val_loss = 0, float("inf")
        self.previous_seconds = self.previous_cpu_seconds = self._cpu_seconds_of_others = 0.0
        self.step_metrics: dict[str, float] = {}
        self.energy = Energy()
        self._loss_names: set[str] = set()
        self.between_steps = True
        self.pending_metrics: dict[str, float] | None = None
        self._optimizers, self._train, self._val = optimizers, train, val
        self._start_times: tuple[float, float] | None = None
        self._energy_meter: EnergyMeter | None = None

    # -- Lightning hooks

    def configure_optimizers(self) -> list[MuonAdamW]:
        return list(self._optimizers.values())

    def train_dataloader(self) -> DataLoader[Any]:
        ranks, size, seed = self._virtual_ranks, self.settings.batch, self.settings.seed
        if ranks.count == 1:
            rank, world_size = self.global_rank, self.trainer.world_size
            batches: TrainBatches | RankBatches = TrainBatches(self._train, size, seed, rank, world_size)
        else:
            size //= ranks.count
            batches = RankBatches([TrainBatches(self._train, size, seed, rank, ranks.count) for rank in ranks.own])
        return train_loader(batches, self.step, self.settings.workers, pin_memory=self.device.type == "cuda")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return [each.to(device) for each in batch] if isinstance(batch, list) else batch.to(device)

    def on_train_start(self) -> None:
        if self._start_times is None:
            self._start_times = (time.monotonic(), time.process_time())
            self._energy_meter = EnergyMeter(str(self.device))

    def training_step(self, batch: Batch | list[Batch], batch_index: int) -> None:
        """Make one optimizer step for every network; with virtual ranks, on their batches."""
        seed_noise(self.settings.seed, self.step, self.global_rank)
        factor = self.lr_schedule.factor(self.step)
        self.method.train()
        self.step_metrics, self._loss_names = {}, set()
        for (network_name, _), optimizer in zip(self._optimizers.items(), self._lightning_optimizers(), strict=True):
            network = self.method.networks()[network_name]
            average = gather_weights(self.ema.module) if self.method.uses_average else nullcontext()
            with self._freeze_others(network), average:
                if isinstance(batch, list):
                    losses = self._backward_in_order(batch, network_name)
                else:
                    losses = self._backward(batch, network_name)
            norm = self._gradient_norm(network)
            self._record_metrics(losses, norm, network_name, network)
            clip_grads_with_norm_(network.parameters(), self.settings.grad_clip, norm)
            optimizer.optimizer.set_factor(factor)
            self.between_steps = False
            if not self.method.skips_zero_gradients or norm > 0:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            rates = optimizer.optimizer.rates()
            self.step_metrics |= {f"{self._prefix(network_name)}{name}": rate for name, rate in rates.items()}
        self.ema.update_parameters(self.method.ema_module)
        self.step += 1
        self.between_steps = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        header = replace(
            self.header,
            step=self.step,
            best=self.best_val_loss,
            unlogged=self.pending_metrics,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            course=self.lr_schedule.state(),
        )
        checkpoint["genai"] = header.entries
        if header.adapter is not None:
            base = {id(parameter) for parameter in self.method.parameters() if not parameter.requires_grad}
            frozen = {name for name, p in self.named_parameters(remove_duplicate=False) if id(p) in base}
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {name: value for name, value in state.items() if name not in frozen}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        header = CheckpointHeader.read(checkpoint)
        self.step, self.best_val_loss, self.pending_metrics = header.step, header.best, header.unlogged
        self.previous_seconds, self.previous_cpu_seconds = header.seconds, header.cpu_seconds
        fresh = self.trainer.fit_loop.state_dict()
        checkpoint["loops"] = {"fit_loop": known_progress(checkpoint["loops"]["fit_loop"], fresh, "fit_loop")}

    # -- used by callbacks

    @property
    def log_prefixes(self) -> list[str]:
        """Names of the networks, which begin their log keys; none if there is only one network."""
        return [] if len(self._optimizers) == 1 else list(self._optimizers)

    @property
    def seconds(self) -> float:
        return self.previous_seconds + (time.monotonic() - self._start_times[0] if self._start_times else 0.0)

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of this process and, as of the last ``sum_cpu_seconds``, of the others, since the run began."""
        return self.previous_cpu_seconds + self._own_cpu_seconds + self._cpu_seconds_of_others

    @property
    def _own_cpu_seconds(self) -> float:
        return time.process_time() - self._start_times[1] if self._start_times else 0.0

    def sum_cpu_seconds(self) -> None:
        """Count the CPU seconds, and the energy since this start, of all processes."""
        meter = self._energy_meter
        own = torch.tensor([self._own_cpu_seconds, meter.joules() if meter else 0.0], device=self.device)
        seconds, joules = self._reduce(own, "sum").tolist()
        self._cpu_seconds_of_others = seconds - float(own[0])
        self.energy = energy_of(joules, meter.how) if meter else Energy()

    def average_step_metrics(self) -> None:
        """Average the losses of the latest step over all processes; those of other steps are of this one alone."""
        if self._energy_meter:
            self._energy_meter.joules()  # before a counter begins again twice
        if self.trainer.world_size > 1 and self._virtual_ranks.count == 1:
            names = sorted(self._loss_names)
            values = torch.tensor([self.step_metrics[name] for name in names], device=self.device)
            self.step_metrics |= dict(zip(names, self._reduce(values, "mean").tolist(), strict=True))

    @contextmanager
    def sampling_weights(self, raw: bool = False) -> Iterator[None]:
        """Set the method to evaluation mode with averaged or, if ``raw``, current weights, unsharded.

        All processes have to enter together.
        """
        self.method.eval()
        average = nullcontext() if raw else use_averaged_weights(self.method.ema_module, self.ema)
        with average, gather_weights(self.method.ema_module):
            yield
        self.method.train()

    def validate(self, before_batch: Callable[[], object] = lambda: None) -> dict[str, float]:
        """Return the mean validation losses of the averaged weights; ``before_batch`` is called before each batch."""
        ranks = self._virtual_ranks
        if ranks.count == 1:
            sums, weight = self._validation_sums(self.global_rank, self.trainer.world_size, before_batch)
            total = self._reduce(weight, "sum")
            return {f"val_{name}": float(self._reduce(value, "sum") / total) for name, value in sums.items()}
        rank_sum = RankSum(ranks)
        for rank in ranks.own:
            sums, weight = self._validation_sums(rank, ranks.count, before_batch)
            names = sorted(sums)
            rank_sum.add([torch.stack([*(sums[name] for name in names), weight])])
        *values, total = rank_sum.total()[0].unbind()
        return {f"val_{name}": float(value / total) for name, value in zip(names, values, strict=True)}

    def _validation_sums(
        self, rank: int, world_size: int, before_batch: Callable[[], object]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the validation losses of one rank, as ``validation_losses``."""
        with self.sampling_weights():
            return validation_losses(
                self.method,
                self._val,
                max_items=self.settings.val_items,
                batch_size=self.settings.batch // self._virtual_ranks.count,
                seed=self.settings.seed,
                rank=rank,
                world_size=world_size,
                precision=self.trainer.precision_plugin.forward_context,
                before_batch=before_batch,
            )

    # -- helpers

    def _lightning_optimizers(self) -> list[Any]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    @contextmanager
    def _freeze_others(self, network: torch.nn.Module) -> Iterator[None]:
        """Disable gradients of all other networks, so that none are computed for them."""
        own_parameters = set(network.parameters())
        frozen = [p for p in self.method.parameters() if p.requires_grad and p not in own_parameters]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def _prefix(self, network_name: str) -> str:
        return f"{network_name}_" if self.log_prefixes else ""

    def _backward(self, batch: Batch, network_name: str) -> dict[str, Tensor]:
        """Accumulate gradients of the batch's mean loss over its parts; return the mean losses, detached.

        Answers are of very different length, so that several processes weight their means by what each has to learn.
        """
        total_weight = self._weight(batch)
        if batch.segments is not None:
            total_weight = float(self._reduce(torch.tensor(total_weight, device=self.device), "mean"))
        return self._accumulate(batch, network_name, total_weight)

    def _backward_in_order(self, batches: Sequence[Batch], network_name: str) -> dict[str, Tensor]:
        """Add the gradients and losses of all virtual ranks in a fixed order; return the mean losses."""
        networks, ranks, tree = self.method.networks(), self._virtual_ranks, TreeSum()
        rank_sum = RankSum(ranks)
        parameters = [p for p in networks[network_name].parameters() if p.requires_grad]
        mean_weight = self._mean_weight(batches)
        for rank, batch in zip(ranks.own, batches, strict=True):
            seed_noise(self.settings.seed, self.step, rank + ranks.count * list(networks).index(network_name))
            with nullcontext() if ranks.is_sharded else self._no_sync():
                losses = self._accumulate(batch, network_name, mean_weight * ranks.count)
            names = sorted(losses)
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            counts = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
            scalars = [counts, torch.stack([losses[name].float() for name in names])]
            if ranks.is_sharded:  # FSDP has added the gradients of all processes
                tree.add(gradients)
                rank_sum.add(scalars)
            else:
                rank_sum.add([*gradients, *scalars])
            for parameter in parameters:
                parameter.grad = None
        *gradients, counts, values = [*(tree.total() if ranks.is_sharded else []), *rank_sum.total()]
        for parameter, gradient, count in zip(parameters, gradients, counts.tolist(), strict=True):
            parameter.grad = gradient if count else None
        return dict(zip(names, values.unbind(), strict=True))

    def _mean_weight(self, batches: Sequence[Batch]) -> float:
        """Return the mean weight of the batches of all virtual ranks; ``batches`` are those of this process."""
        rank_sum = RankSum(self._virtual_ranks)
        for batch in batches:
            rank_sum.add([torch.tensor([self._weight(batch)], dtype=torch.float64, device=self.device)])
        return float(rank_sum.total()[0]) / self._virtual_ranks.count

    def _weight(self, batch: Batch) -> float:
        return sum(part.weight for part in batch.split(self.settings.accumulate))

    def _accumulate(self, batch: Batch, network_name: str, total_weight: float) -> dict[str, Tensor]:
        """Accumulate the gradients of a batch's parts, divided by ``total_weight``; return the losses, detached."""
        parts, sums = batch.split(self.settings.accumulate), dict[str, Tensor]()
        for number, part in enumerate(parts, 1):
            weight = part.weight / total_weight
            with nullcontext() if number == len(parts) else self._no_sync():
                losses = self.method.loss(part, network_name)
                self.manual_backward(losses["loss"] * weight)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() * weight
        return sums

    @property
    def _virtual_ranks(self) -> VirtualRanks:
        is_sharded = isinstance(self.trainer.strategy, ShardedStrategy)
        return VirtualRanks(self.settings.virtual_ranks, self.global_rank, self.trainer.world_size, is_sharded)

    def _no_sync(self) -> Any:
        """Return a context in which gradients are not reduced over processes."""
        ranks = self._virtual_ranks
        if ranks.is_sharded and ranks.count > 1:
            return accumulate_gradients(self.method)
        strategy_model = self.trainer.strategy.model
        return getattr(strategy_model, "no_sync", nullcontext)()

    def _gradient_norm(self, network: torch.nn.Module) -> Tensor:
        """Return the norm of all gradients; with virtual ranks it does not depend on how they are sharded."""
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        if self._virtual_ranks.count == 1 or not self._virtual_ranks.is_sharded:
            return get_total_norm(gradients)
        norms = [torch._foreach_norm([whole_tensor(gradient)])[0] for gradient in gradients]
        return torch.linalg.vector_norm(torch.stack(norms))

    def _record_metrics(
        self, losses: dict[str, Tensor], norm: Tensor, network_name: str, network: torch.nn.Module
    ) -> None:
        """Add losses and gradient norm to ``step_metrics``.

        Raises:
            RunError: a value is not finite; the weights are not updated.
        """
        prefix = self._prefix(network_name)
        values = {f"{prefix}{name}": float(value) for name, value in losses.items()}
        self.step_metrics |= values
        self._loss_names |= set(values)
        self.step_metrics[f"{prefix}grad_norm"] = float(norm)
        for name, metric in self.step_metrics.items():
            if not np.isfinite(metric):
                gradients = [(key, p.grad) for key, p in network.named_parameters() if p.grad is not None]
                parameter = next((key for key, gradient in gradients if not torch.isfinite(gradient).all()), None)
                where = f", and so is the gradient of {parameter}" if parameter else ""
                raise RunError(
                    f"step {self.step + 1}: {name} is {metric}{where}. Earlier checkpoints are kept.\n"
                    f"Try {self._optimizers[network_name].rate_options} a few times smaller, or grad_clip=0.5."
                )

    def _reduce(self, value: Tensor, operation: str) -> Tensor:
        """Reduce over processes by ``"sum"`` or ``"mean"``."""
        if self.trainer.world_size == 1:
            return value
        return torch.as_tensor(self.trainer.strategy.reduce(value.clone(), reduce_op=operation))

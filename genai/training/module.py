"""The one bridge to Lightning: it trains any method.

Optimizer, averaged weights, noise seeding, clipping, accumulation, validation and the content of a checkpoint are here.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.utils.data import DataLoader

from genai.core.batch import Batch
from genai.core.data import PackedDataset
from genai.core.errors import RunError
from genai.core.loader import Batches, train_loader
from genai.core.seeding import seed_noise
from genai.inference.validation import held_out_losses
from genai.methods.base import Method
from genai.runs.checkpoint import CHECKPOINT_FORMAT
from genai.training.config import TrainSettings
from genai.training.ema import averaged, swapped
from genai.training.fsdp import gathered
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import LRSchedule


class TrainingModule(LightningModule):
    """Trains ``method`` on ``train``, step by step.

    The step counter is its own: Lightning's counts every optimizer's steps. So is the clock, which resumes, too.

    Attributes:
        about: what makes its checkpoints self-describing: nodes and states, in plain types.
        step: optimizer steps done.
        seconds, cpu_seconds: of training so far, validation and previews included.
        logged: numbers of the newest step, by name.
        between_steps: no player has moved yet in a step that others still have to make.
        best: the lowest validation loss.
        unlogged: numbers of this step that wait for its validation; ``None``: all is logged.
    """

    def __init__(
        self,
        method: Method,
        optimizers: dict[str, MuonAdamW],
        train: PackedDataset,
        val: PackedDataset,
        course: LRSchedule,
        settings: TrainSettings,
        about: dict[str, Any],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.method = method
        self.ema = averaged(method.sampled, settings.ema)
        self.course, self.settings, self.about = course, settings, about
        self.step, self.best = 0, float("inf")
        self.seconds_before = self.cpu_seconds_before = 0.0
        self.logged: dict[str, float] = {}
        self.between_steps = True
        self.unlogged: dict[str, float] | None = None
        self._optimizers, self._train, self._val = optimizers, train, val
        self._started: tuple[float, float] | None = None

    # -- what Lightning asks for

    def configure_optimizers(self) -> list[MuonAdamW]:
        return list(self._optimizers.values())

    def train_dataloader(self) -> DataLoader[Batch]:
        batches = Batches(
            self._train, self.settings.batch, self.settings.seed, self.global_rank, self.trainer.world_size
        )
        return train_loader(batches, self.step, self.settings.workers, pin=self.device.type == "cuda")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def on_train_start(self) -> None:
        if self._started is None:
            self._started = (time.monotonic(), time.process_time())

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One optimizer step of every player."""
        seed_noise(self.settings.seed, self.step, self.global_rank)
        factor = self.course.factor(self.step)
        self.method.train()
        self.logged = {}
        for (player, _), optimizer in zip(self._optimizers.items(), self._lightning_optimizers(), strict=True):
            module = self.method.players()[player]
            with self._alone(module):
                losses = self._backward(batch, player)
            norm = get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
            self._keep(losses, norm, player, module)
            clip_grads_with_norm_(module.parameters(), self.settings.clip, norm)
            optimizer.optimizer.set_factor(factor)
            self.between_steps = False
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self.logged[f"{self._prefix(player)}lr"] = max(group["lr"] for group in optimizer.param_groups)
        self.ema.update_parameters(self.method.sampled)
        self.step += 1
        self.between_steps = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["genai"] = {
            **self.about,
            "format": CHECKPOINT_FORMAT,
            "step": self.step,
            "best": self.best,
            "unlogged": self.unlogged,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "course": self.course.state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        about = checkpoint["genai"]
        self.step, self.best, self.unlogged = about["step"], about["best"], about["unlogged"]
        self.seconds_before, self.cpu_seconds_before = about["seconds"], about["cpu_seconds"]

    # -- what callbacks ask for

    @property
    def seconds(self) -> float:
        return self.seconds_before + (time.monotonic() - self._started[0] if self._started else 0.0)

    @property
    def cpu_seconds(self) -> float:
        return self.cpu_seconds_before + (time.process_time() - self._started[1] if self._started else 0.0)

    @contextmanager
    def sampling_weights(self, raw: bool = False) -> Iterator[None]:
        """Within it the method is not training, and has all of its weights: the averaged ones, or the newest.

        Processes enter together.
        """
        self.method.eval()
        average = nullcontext() if raw else swapped(self.method.sampled, self.ema)
        with average, gathered(self.method.sampled):
            yield
        self.method.train()

    def validate(self, between: Callable[[], object] = lambda: None) -> dict[str, float]:
        """Mean held-out losses of the weights that sampling uses; ``between`` is called before each batch."""
        with self.sampling_weights():
            sums, weight = held_out_losses(
                self.method,
                self._val,
                items=self.settings.validate_items,
                batch=self.settings.batch,
                seed=self.settings.seed,
                rank=self.global_rank,
                world=self.trainer.world_size,
                precision=self.trainer.precision_plugin.forward_context,
                between=between,
            )
        total = self._reduced(weight, "sum")
        return {f"val_{name}": float(self._reduced(value, "sum") / total) for name, value in sums.items()}

    # -- inside

    def _lightning_optimizers(self) -> list[Any]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    @contextmanager
    def _alone(self, module: torch.nn.Module) -> Iterator[None]:
        """Within it no other player's weights want gradients: they get none, and none are computed for them."""
        mine = set(module.parameters())
        others = [p for p in self.method.parameters() if p.requires_grad and p not in mine]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _prefix(self, player: str) -> str:
        """Of the names of its numbers, where there are several players."""
        return "" if len(self._optimizers) == 1 else f"{player}_"

    def _backward(self, batch: Batch, player: str) -> dict[str, Tensor]:
        """Gradients of the batch's mean loss, accumulated over its parts; the losses, detached."""
        parts = batch.split(self.settings.accumulate)
        whole = sum(part.weight for part in parts)
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts, 1):
            share = part.weight / whole
            with nullcontext() if number == len(parts) else self._no_sync():
                losses = self.method.loss(part, player)
                self.manual_backward(losses["loss"] * share)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() * share
        return sums

    def _no_sync(self) -> Any:
        """Gradients of all but the last part stay in this process."""
        strategy_model = self.trainer.strategy.model
        return getattr(strategy_model, "no_sync", nullcontext)()

    def _keep(self, losses: dict[str, Tensor], norm: Tensor, player: str, module: torch.nn.Module) -> None:
        """Log the numbers of this step; stop the run where one is not finite, before it reaches a weight."""
        prefix = self._prefix(player)
        for name, value in losses.items():
            self.logged[f"{prefix}{name}"] = float(self._reduced(value, "mean"))
        self.logged[f"{prefix}grad_norm"] = float(norm)
        for name, number in self.logged.items():
            if not np.isfinite(number):
                named = module.named_parameters()
                culprit = next((n for n, p in named if p.grad is not None and not torch.isfinite(p.grad).all()), None)
                where = f", and so is the gradient of {culprit}" if culprit else ""
                raise RunError(
                    f"step {self.step + 1}: {name} is {number}{where}. Checkpoints before it are kept.\n"
                    "Try optimizer.lr=... or optimizer.matrix_lr=... a few times smaller, or clip=0.5."
                )

    def _reduced(self, value: Tensor, how: str) -> Tensor:
        """The sum or the mean over processes."""
        if self.trainer.world_size == 1:
            return value
        return torch.as_tensor(self.trainer.strategy.reduce(value.clone(), reduce_op=how))

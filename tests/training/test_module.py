"""A step of training with two networks: weights, learning rates, metrics."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import genai
from genai.core.errors import UserError
from genai.methods.adversarial import Adversarial
from genai.runs.checkpoint import load_checkpoint
from genai.training.loggers import tensorboard_tag
from genai.training.module import TrainingModule
from genai.training.progress import TrainingProgress
from tests.conftest import SMALL_GAN

RATES = ("lr", "embedding_lr", "head_lr")


@pytest.fixture
def gan(tmp_path: Path) -> list[str]:
    return [*SMALL_GAN, f"runs={tmp_path / 'runs'}", "steps=3", "schedule.warmup=0"]


def stands(network_name: str) -> list[str]:
    return [f"optimizer.{network_name}.{rate}=0.0" for rate in RATES]


def weights(words: list[str]) -> dict[str, Tensor]:
    model = genai.fit(*words)
    assert model.file is not None
    state: dict[str, Tensor] = load_checkpoint(model.file.with_name("last.ckpt"))["state_dict"]
    return {name.removeprefix("method."): value for name, value in state.items() if name.startswith("method.")}


@pytest.mark.parametrize(("network_name", "part"), [("generator", "ema_module."), ("discriminator", "discriminator.")])
def test_a_network_has_its_own_settings_and_a_frozen_one_does_not_change(
    network_name: str, part: str, gan: list[str]
) -> None:
    one, two = weights([*gan, *stands(network_name)]), weights([*gan, *stands(network_name), "steps=1"])
    moved = {name for name, value in one.items() if not torch.equal(value, two[name])}
    assert moved and not any(name.startswith(part) for name in moved)


def test_nothing_is_computed_for_the_other_network(gan: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a gradient that is thrown away; and afterward all want gradients again."""
    original, seen = Adversarial.loss, []

    def loss(method: Adversarial, batch: Any, network_name: str) -> dict[str, Tensor]:
        wanting = {
            name: all(p.requires_grad for p in module.parameters()) for name, module in method.networks().items()
        }
        expected = {
            name: any(p.requires_grad for p in module.parameters()) for name, module in method.networks().items()
        }
        seen.append((network_name, wanting, expected))
        return original(method, batch, network_name)

    monkeypatch.setattr(Adversarial, "loss", loss)
    genai.fit(*gan)
    assert len(seen) == 6
    for network_name, *both in seen:
        assert all(who == {name: name == network_name for name in ("discriminator", "generator")} for who in both)


def test_the_average_follows_the_generator(trained: Callable[[str], Path]) -> None:
    model = genai.load(trained("gan"))
    assert model.file is not None
    state = load_checkpoint(model.file)["state_dict"]
    averaged = {name.removeprefix("ema.module.") for name in state if name.startswith("ema.module.")}
    assert averaged == set(model.method.ema_module.state_dict())


def test_who_does_not_play_is_named(gan: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no network 'genrator'. Did you mean 'generator'.*discriminator, generator"):
        genai.fit(*gan, "optimizer.genrator.lr=0.1")
    with pytest.raises(UserError, match=r"optimizer.generator.lr=-1"):
        genai.fit(*gan, "optimizer.generator.lr=-1")
    with pytest.raises(UserError, match=r"MuonAdamW has no such option.*Did you mean 'lr'"):
        genai.fit(*gan, "optimizer.generator.lrr=0.1")
    assert not (tmp_path / "runs").exists()


def test_numbers_of_both_and_of_validation_are_written(trained: Callable[[str], Path]) -> None:
    rows = list(csv.DictReader((trained("gan") / "metrics.csv").open()))
    both = {
        f"{network_name}_{name}"
        for network_name in ("generator", "discriminator")
        for name in ("loss", "grad_norm", "lr")
    }
    more = {"discriminator_real_score", "discriminator_fake_score", "discriminator_penalty", "val_diversity"}
    assert both | more <= rows[-1].keys() and all(rows[-1][name] for name in both | more)
    networks = ["discriminator", "generator"]
    assert tensorboard_tag("generator_loss", networks) == "loss/generator" and tensorboard_tag("val_loss") == "loss/val"
    assert (
        tensorboard_tag("discriminator_real_score", networks) == "discriminator/real_score"
        and tensorboard_tag("val_diversity") == "val/diversity"
    )
    assert tensorboard_tag("single_frames_per_s") == "speed/single_frames_per_s"
    assert tensorboard_tag("memory_mb") == "speed/memory_mb" and tensorboard_tag("grad_norm") == "grad_norm"


def test_a_collapse_is_told_once(gan: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    held = iter([0.9, 0.1, 0.1, 0.9, 0.2])

    def validate(module: TrainingModule, before_batch: Any) -> dict[str, float]:
        return {"val_loss": 1.0, "val_diversity": next(held)}

    monkeypatch.setattr(TrainingModule, "validate", validate)
    genai.fit(*gan, "steps=5", "val_every=1")
    warnings = [line for line in capfd.readouterr().err.splitlines() if "collapsing" in line]
    assert [line.partition(":")[0] for line in warnings] == ["step 2", "step 5"]


def test_the_progress_has_the_losses_of_all() -> None:
    progress = TrainingProgress()
    progress._smooth_metrics({"generator_loss": 2.0, "discriminator_loss": 1.0, "generator_lr": 0.1}, ())
    progress._smooth_metrics({"generator_loss": 1.0, "discriminator_loss": 1.0}, ())
    assert progress.metrics == {"generator ": pytest.approx(1.9), "discriminator ": 1.0}
    alone = TrainingProgress()
    alone._smooth_metrics({"loss": 3.0, "waveform": 1.0, "reward": 0.5}, ("reward",))
    assert alone.metrics == {"": 3.0, "reward ": 0.5}

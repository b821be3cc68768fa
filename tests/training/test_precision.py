"""Precision of training on a CPU: the probe decides, and its verdict stays with the run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.cli.compose import compose
from genai.core.batch import Batch
from genai.methods.autoregressive import Autoregressive
from genai.networks.gpt import GPT
from genai.runs.run import Run
from genai.training import precision
from genai.training.config import TrainSettings
from genai.training.precision import BFLOAT16, FLOAT32, choose_precision
from tests.conftest import SMALL


class Windows:
    """Batches of token ids."""

    def __len__(self) -> int:
        return 16

    def batch(self, indices: list[int], random: Any) -> Batch:
        return Batch(torch.arange(17).repeat(len(indices), 1))


class Float32Only(Autoregressive):
    """A method with an operation that bfloat16 lacks."""

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for 'BFloat16'")
        return super().loss(batch, network_name)


@pytest.fixture
def method() -> Autoregressive:
    torch.manual_seed(0)
    return Autoregressive(GPT(32, 16, 2, 2, 16, ngram_rows=16))


@pytest.fixture
def settings() -> TrainSettings:
    return replace(TrainSettings.parse(compose("train", [*SMALL, "data.path=x"]).settings), minutes=None, steps=500)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Speedups that the next probes find; the machine has fast bfloat16, and an empty cache."""
    ratios: list[float] = []
    monkeypatch.setattr(precision, "fast_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(precision, "_probe", lambda *arguments: {"ratio": ratios.pop(0)})
    return ratios


NODES: dict[str, Any] = {"model": {"width": 1}, "modality": {}}


@pytest.mark.parametrize(("ratio", "expected"), [(1.5, BFLOAT16), (1.05, FLOAT32), (0.5, FLOAT32)])
def test_bfloat16_has_to_be_faster(
    method: nn.Module, settings: TrainSettings, probes: list[float], ratio: float, expected: str
) -> None:
    probes.append(ratio)
    assert choose_precision(method, Windows(), settings, NODES, None) == expected  # type: ignore[arg-type]


def test_the_verdict_is_cached_for_the_network(method: nn.Module, settings: TrainSettings, probes: list[float]) -> None:
    probes += [1.5, 1.0]
    choices = [
        choose_precision(method, Windows(), settings, NODES | {"model": {"width": width}}, None)  # type: ignore[arg-type]
        for width in (1, 1, 2)
    ]
    assert choices == [BFLOAT16, BFLOAT16, FLOAT32]


@pytest.mark.parametrize("changes", [{"steps": 100}, {"steps": None, "minutes": 0.5}])
def test_short_runs_are_in_float32_without_a_probe(
    method: nn.Module, settings: TrainSettings, probes: list[float], changes: dict[str, Any]
) -> None:
    assert choose_precision(method, Windows(), replace(settings, **changes), NODES, None) == FLOAT32  # type: ignore[arg-type]


def test_without_fast_bfloat16_nothing_is_probed(
    method: nn.Module, settings: TrainSettings, probes: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "fast_bfloat16", lambda device: False)
    assert choose_precision(method, Windows(), settings, NODES, None) == FLOAT32  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recorded", "expected"), [(BFLOAT16, BFLOAT16), (FLOAT32, FLOAT32), (None, FLOAT32), ("64-true", FLOAT32)]
)
def test_a_resumed_run_and_further_processes_keep_the_precision(
    method: nn.Module,
    settings: TrainSettings,
    probes: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorded: str | None,
    expected: str,
) -> None:
    run = Run(tmp_path)
    run.write_record(precision=recorded)
    assert choose_precision(method, Windows(), settings, NODES, run) == expected  # type: ignore[arg-type]
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("GENAI_RUN", str(tmp_path))
    assert choose_precision(method, Windows(), settings, NODES, None) == expected  # type: ignore[arg-type]


def test_the_precision_of_a_gpu_is_not_kept(
    method: nn.Module, settings: TrainSettings, probes: list[float], tmp_path: Path
) -> None:
    run = Run(tmp_path)
    run.write_record(precision=BFLOAT16, device="cuda")
    assert choose_precision(method, Windows(), settings, NODES, run) == FLOAT32  # type: ignore[arg-type]


def test_a_probe_changes_neither_weights_nor_random_numbers(method: nn.Module) -> None:
    method.register_buffer("average", torch.ones(2))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    random_state = torch.get_rng_state()
    result = precision._probe(method, Windows(), 4, seed=0)  # type: ignore[arg-type]
    assert result["ratio"] > 0
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_network_that_lacks_bfloat16_stays_in_float32() -> None:
    method = Float32Only(GPT(32, 16, 2, 2, 16, ngram_rows=16))
    assert precision._probe(method, Windows(), 4, seed=0) == {"ratio": 0.0}  # type: ignore[arg-type]

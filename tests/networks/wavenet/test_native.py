"""The native loop says what the network says, and draws what the method draws."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from numba.core.caching import CacheImpl
from torch import Tensor

from genai.methods.categorical import AutoregressiveOptions, filter_mask, sample_categorical
from genai.networks.wavenet import loop
from genai.networks.wavenet.engine import Engine, create_engine
from genai.networks.wavenet.loop import compile_function
from genai.networks.wavenet.model import WaveNet, WaveNetCache
from tests.conftest import ROOT

SIZES: dict[str, dict[str, Any]] = {
    "as one would": {"num_classes": 64, "residual": 32, "gate": 64, "skip": 64, "layers": 6, "cycle": 3},
    "no multiples": {"num_classes": 37, "residual": 5, "gate": 14, "skip": 9, "layers": 5, "cycle": 4},
    "many classes": {"num_classes": 1024, "residual": 40, "gate": 24, "skip": 20, "layers": 2, "cycle": 16},
}


def network(**sizes: Any) -> WaveNet:
    torch.manual_seed(0)
    net = WaveNet(hop_length=10, local=3, frame=8, **sizes)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net.eval()


def prefill_network(
    net: WaveNet, batch: int, prefix: int, frames: int = 5
) -> tuple[Tensor, Tensor, tuple[Tensor, WaveNetCache]]:
    x, local = torch.randint(net.num_classes or 2, (batch, 80)), torch.randn(batch, frames, 3)
    with torch.inference_mode():
        return x, local, net.prefill(x[:, :prefix], local=local)


def create_native(net: WaveNet, prefilled: tuple[Tensor, WaveNetCache], **options: float) -> Engine:
    engine = net.engine(*prefilled, **options)  # type: ignore[arg-type]
    assert engine is not None
    return engine


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_logits_agree_with_the_network(sizes: dict[str, Any], batch: int) -> None:
    net = network(**sizes)
    x, local, prefilled = prefill_network(net, batch, 17, frames=8)
    engine = create_native(net, prefilled)
    with torch.inference_mode():
        want = net(x, local=local)
    actual = torch.cat(
        [engine.teacher_force(x[:, 17:18]), engine.teacher_force(x[:, 18:49]), engine.teacher_force(x[:, 49:])], 1
    )
    torch.testing.assert_close(actual, want[:, 17:], atol=1e-5, rtol=1e-5)


def test_the_last_frame_is_repeated_as_in_step() -> None:
    net = network(**SIZES["as one would"])
    x, _, (logits, cache) = prefill_network(net, 2, 7, frames=3)
    actual = create_native(net, (logits, cache)).teacher_force(x[:, 7:])
    with torch.inference_mode():
        want = torch.stack([net.step(now, cache) for now in x[:, 7:].T], 1)
    torch.testing.assert_close(actual, want, atol=1e-5, rtol=1e-5)


def test_the_engine_does_not_change_its_inputs() -> None:
    net = network(**SIZES["as one would"])
    x, _, (logits, cache) = prefill_network(net, 1, 7)
    before = [logits.clone(), *(ring.clone() for ring in cache.rings)]
    create_native(net, (logits, cache)).teacher_force(x)
    assert cache.position == 7
    assert all(torch.equal(a, b) for a, b in zip(before, [logits, *cache.rings], strict=True))


def test_classes_out_of_range_are_rejected() -> None:
    net = network(**SIZES["as one would"])
    _, _, prefilled = prefill_network(net, 1, 7)
    with pytest.raises(IndexError):
        create_native(net, prefilled).teacher_force(torch.tensor([[64]]))


OPTIONS = [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1, "top_p": 0.95}, {"temperature": 0.0}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_samples_agree_with_step(options: dict[str, Any], batch: int) -> None:
    """Equal up to the first number that lies on a boundary between two classes, as far as float32 can tell."""
    net = network(**SIZES["as one would"])
    _, _, (logits, cache) = prefill_network(net, batch, 17)
    uniforms = torch.rand(batch, 200)
    engine = create_native(net, (logits, cache), **options)
    actual = torch.cat([engine.sample(uniforms[:, :1]), engine.sample(uniforms[:, 1:])], 1)
    alike = torch.ones(batch, dtype=torch.bool)
    with torch.inference_mode():
        for t, uniform in enumerate(uniforms.T):
            want = sample_categorical(logits, uniform, AutoregressiveOptions(**options))
            for row in (alike & (want != actual[:, t])).nonzero()[:, 0].tolist():
                assert boundary(logits[row], uniform[row], int(actual[row, t]), options) < 1e-5
                alike[row] = False
            logits = net.step(want, cache)
    assert alike.any()


def boundary(logits: Tensor, uniform: Tensor, sampled: int, options: dict[str, Any]) -> float:
    """How far, in probability, ``uniform`` is from the interval of the class that was drawn."""
    how = AutoregressiveOptions(**options)
    if not how.temperature:
        return float(logits.max() - logits[sampled])
    probabilities = (logits / how.temperature).softmax(-1)[None]
    probabilities = (probabilities * filter_mask(probabilities, how))[0].double()
    cumulative = (probabilities / probabilities.sum()).cumsum(-1)
    low = cumulative[sampled] - probabilities[sampled] / probabilities.sum()
    return max(0.0, float(low - uniform), float(uniform - cumulative[sampled]))


def test_guidance_combines_both_halves_of_the_batch() -> None:
    net = network(**SIZES["as one would"])
    _, _, (logits, cache) = prefill_network(net, 6, 17)
    uniforms = torch.rand(3, 50)
    actual = create_native(net, (logits, cache), guidance=1.5).sample(uniforms)
    same = torch.ones(3, dtype=torch.bool)
    with torch.inference_mode():
        for t, uniform in enumerate(uniforms.T):
            prompted, free = logits.chunk(2)
            mixed = free + 1.5 * (prompted - free)
            want = sample_categorical(mixed, uniform, AutoregressiveOptions())
            for row in (same & (want != actual[:, t])).nonzero()[:, 0].tolist():
                assert boundary(mixed[row], uniform[row], int(actual[row, t]), {}) < 1e-5
                same[row] = False
            logits = net.step(want.repeat(2), cache)
    assert same.any()


def test_it_compiles_without_a_writable_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert compile_function(_double)(2) == 4


def test_slow_compilation_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(loop, "COMPILE_SECONDS", 0.0)
    double = compile_function(_double)
    assert (double(2), double(3)) == (4, 6)
    assert caplog.messages == ["compiling the sampling loop: only the first time here"]


def _double(x: int) -> int:
    return 2 * x


def test_failed_compilation_gives_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(**SIZES["as one would"])
    _, _, prefilled = prefill_network(net, 1, 17)
    monkeypatch.setitem(sys.modules, "genai.networks.wavenet.native", None)
    assert net.engine(*prefilled) is None


def test_other_networks_and_devices_have_no_engine() -> None:
    net = network(**SIZES["as one would"])
    _, _, (logits, cache) = prefill_network(net, 1, 17)
    assert create_engine(net, logits.to("meta"), cache, (1.0, 0, 1.0, 0.0, 1.0)) is None
    net.biases = None
    assert net.engine(logits, cache) is None


def test_numba_is_imported_late_and_needs_no_home() -> None:
    script = (
        "import sys, torch; from genai.networks.wavenet.model import WaveNet; assert 'numba' not in sys.modules;"
        "net = WaveNet(num_classes=8, hop_length=4, local=1, layers=2).requires_grad_(False);"
        "engine = net.engine(*net.prefill(torch.zeros(1, 3), local=torch.zeros(1, 9, 1)));"
        "print(engine.sample(torch.rand(1, 5)).shape)"
    )
    nowhere = {"PATH": "", "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "NUMBA_CACHE_DIR": "/dev/null/numba"}
    environment = {**os.environ, **nowhere, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "torch.Size([1, 5])\n", done.stderr

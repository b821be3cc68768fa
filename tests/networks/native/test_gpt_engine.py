"""The native loop computes what the network does, for all families, alone and in a batch, and samples as it says."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Request
from genai.core.errors import NonFiniteOutput
from genai.methods.autoregressive import Autoregressive
from genai.methods.categorical import AutoregressiveOptions
from genai.networks.gpt import GPT
from genai.networks.native import gpt_engine
from genai.networks.native.formats import FORMATS
from genai.networks.native.weight_format import describe_rung, set_weight_format

PLAIN: dict[str, Any] = {"ngrams": 1, "embedding_norm": False, "embedding_mix": False}
SWIGLU: dict[str, Any] = {"activation": "swiglu", "affine": True, "eps": 1e-5, **PLAIN}
NETWORKS: dict[str, dict[str, Any]] = {
    "default": {"block": 24},
    "llama": {"block": 24, "width": 48, "kv_heads": 2, "hidden": 100, "qk_norm": "none", **SWIGLU},
    "qwen3": {"kv_heads": 2, "head_width": 24, "hidden": 96, "qk_norm": "before_rotary", "tied": True, **SWIGLU},
    "gpt2": {
        "activation": "gelu_tanh", "norm": "layer", "affine": True, "bias": "all", "positions": "learned",
        "qk_norm": "none", "tied": True, **PLAIN,
    },
    "gpt_neox": {
        "activation": "gelu", "norm": "layer", "affine": True, "bias": "all", "rotary_fraction": 0.5, "parallel": True,
        "qk_norm": "none", **PLAIN,
    },
    "yarn and a bound": {
        "softcap": 5.0, "kv_heads": 1, "bias": "qkv",
        "rotary_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    },
}  # fmt: skip
PROMPTS = [torch.arange(1, length + 1) * 7 % 300 for length in (5, 9, 3, 14, 1)]


def network_of(name: str) -> GPT:
    torch.manual_seed(0)
    network = GPT(**({"vocab_size": 300, "block": 64, "layers": 2, "heads": 4, "width": 64} | NETWORKS[name])).eval()
    for parameter in network.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    return network


def logits_after(network: GPT, prompts: list[Tensor], tokens: Tensor) -> Tensor:
    engine = network.token_engine()
    assert engine is not None
    return engine.begin(prompts, 20).teacher_force(tokens)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loop_is_the_network_and_rows_do_not_depend_on_the_batch(name: str) -> None:
    network, tokens = network_of(name), torch.randint(0, 300, (5, 20), generator=torch.Generator().manual_seed(1))
    logits = logits_after(network, PROMPTS, tokens)
    for row, prompt in enumerate(PROMPTS):
        with torch.inference_mode():
            expected = network(torch.cat([prompt, tokens[row]])[None])[0, len(prompt) :]
        torch.testing.assert_close(logits[row], expected, rtol=2e-5, atol=2e-5 * float(expected.abs().max()))
        assert logits_after(network, [prompt], tokens[row : row + 1])[0].equal(logits[row])


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind == "bfloat16" else kind for kind in FORMATS]
)
def test_every_format_is_the_network_with_rounded_weights(kind: str) -> None:
    network, tokens = network_of("llama"), torch.randint(0, 300, (1, 20))
    exact = logits_after(network, PROMPTS[:1], tokens)
    set_weight_format(network, kind)
    logits = logits_after(network, PROMPTS[:1], tokens)
    with torch.inference_mode():
        expected = network(torch.cat([PROMPTS[0], tokens[0]])[None])[0, len(PROMPTS[0]) :]
    torch.testing.assert_close(logits[0], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert logits.equal(exact) == (kind == "float32")
    assert describe_rung(network).startswith(f"native loop, {kind} weights")


def test_changed_weights_are_packed_again() -> None:
    network, tokens = network_of("default"), torch.randint(0, 300, (1, 4))
    before = logits_after(network, PROMPTS[:1], tokens)
    with torch.no_grad():
        network.blocks[0].up.weight.mul_(1.5)
    assert not logits_after(network, PROMPTS[:1], tokens).allclose(before)


def request(seeds: list[int], new: int, **values: Any) -> Request:
    prompts = [PROMPTS[seed % len(PROMPTS)] for seed in seeds]
    return Request([""] * len(seeds), seeds, (new,), init=prompts, **values)


OPTIONS = [
    AutoregressiveOptions(),
    AutoregressiveOptions(temperature=0.0),
    AutoregressiveOptions(top_k=5, top_p=0.9, min_p=0.05, temperature=0.7),
    AutoregressiveOptions(repetition_penalty=1.4, presence_penalty=0.5),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "greedy", "filters", "penalties"])
def test_samples_are_those_of_the_network_step_by_step(
    options: AutoregressiveOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Autoregressive(network_of("default")).eval()
    asked = request(list(range(6)), 24, end_tokens=(3, 4), num_classes=290)
    native = method.sample(asked, options)
    monkeypatch.setattr(GPT, "token_engine", lambda _: None)
    steps = method.sample(asked, options)
    same = Counter(bool(one.equal(other)) for one, other in zip(native, steps, strict=True))
    assert same[True] >= 5  # a number at the very border of two tokens may fall to either
    for sample, prompt in zip(native, asked.init or [], strict=True):
        new = sample[len(prompt) :].tolist()
        assert max(new) < 290
        first = next((index for index, token in enumerate(new) if token in (3, 4)), len(new))
        assert set(new[first + 1 :]) <= {3}


def test_each_sample_is_the_same_alone_and_in_a_batch_of_24() -> None:
    method, options = Autoregressive(network_of("llama")).eval(), AutoregressiveOptions(temperature=0.9)
    together = method.sample(request(list(range(24)), 30), options)
    for seed in range(24):
        assert method.sample(request([seed], 30), options)[0].equal(together[seed])


def test_a_prompt_of_several_samples_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls = network_of("default"), Counter[str]()
    prefill = network.prefill
    monkeypatch.setattr(network, "prefill", lambda *args: calls.update(["prefill"]) or prefill(*args))
    engine = network.token_engine()
    assert engine is not None
    engine.begin([PROMPTS[0], PROMPTS[1], PROMPTS[0]], 4)
    assert calls["prefill"] == 2


def test_without_a_compiler_it_goes_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ImportError

    method = Autoregressive(network_of("default")).eval()
    expected = method.sample(request([0, 1], 10), OPTIONS[1])
    monkeypatch.setattr(gpt_engine, "compile_gpt_loop", fail)
    assert method.network.token_engine() is None
    assert describe_rung(method.network) == "step by step, float32 weights"
    assert all(a.equal(b) for a, b in zip(method.sample(request([0, 1], 10), OPTIONS[1]), expected, strict=True))


def test_tokens_out_of_range_are_refused() -> None:
    engine = network_of("default").token_engine()
    assert engine is not None
    with pytest.raises(IndexError, match="from 0 to 299"):
        engine.begin(PROMPTS[:1], 4).teacher_force(torch.tensor([[300]]))


def test_networks_on_other_devices_have_no_loop() -> None:
    assert nn.Module.to(network_of("default"), "meta").token_engine() is None


def test_a_network_that_is_broken_says_so() -> None:
    network = network_of("default")
    network.readout.weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteOutput):
        Autoregressive(network).eval().sample(request([0], 4), OPTIONS[0])


@pytest.mark.parametrize("counts", [(70, 50), (70, 48), (299, 17)])
def test_texts_with_other_vocabularies_do_not_meet(counts: tuple[int, int]) -> None:
    network = network_of("default")
    uniforms = torch.rand(2, 20, generator=torch.Generator().manual_seed(0))
    engine: Any = network.token_engine()
    batches = [engine.begin(PROMPTS[:1], 20, num_tokens=count) for count in counts]
    together = engine.sample([batch.slots[0] for batch in batches], uniforms)
    for row, count in enumerate(counts):
        alone: Any = network.token_engine()
        assert alone.begin(PROMPTS[:1], 20, num_tokens=count).sample(uniforms[row : row + 1])[0].equal(together[row])


def test_texts_that_have_ended_get_their_end_token() -> None:
    engine: Any = network_of("default").token_engine()
    batch = engine.begin(PROMPTS[:2], 20, end_tokens=(3, 4), num_tokens=5, temperature=5.0)
    while not batch.has_ended:
        batch.sample(torch.rand(2, 4))
    assert batch.sample(torch.rand(2, 4)).tolist() == [[3] * 4] * 2


def test_a_prompt_is_read_once_and_the_oldest_ones_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("default")
    engine = network.token_engine()
    assert engine is not None
    read: list[int] = []
    prefill = network.prefill
    monkeypatch.setattr(network, "prefill", lambda x, *others: (read.append(x.shape[1]), prefill(x, *others))[1])
    for _ in range(2):
        engine.begin([PROMPTS[0], PROMPTS[1], PROMPTS[0]], 20).remove()
    assert read == [5, 9]
    engine.prompts.max_bytes = engine.prompts.num_bytes
    engine.begin([PROMPTS[2], PROMPTS[0], PROMPTS[1]], 4).remove()
    assert read == [5, 9, 3, 9]  # the prompt of 9 tokens was used longest ago, so it had to go
    assert 0 < engine.prompts.num_bytes <= engine.prompts.max_bytes


def test_a_prompt_beyond_the_context_goes_on_as_the_network_does() -> None:
    network, prompt = network_of("default"), torch.arange(40) * 11 % 300  # its block is 24
    tokens = torch.randint(0, 300, (1, 8), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = network(torch.cat([prompt, tokens[0]])[None])[0, len(prompt) :]
    torch.testing.assert_close(logits_after(network, [prompt], tokens)[0], expected, rtol=1e-4, atol=1e-4)

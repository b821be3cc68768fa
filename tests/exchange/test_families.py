"""Models of transformers with random weights are the same functions here, and come back bit for bit."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.exchange.families import FAMILIES, family_of
from genai.exchange.hf_config import Config
from genai.networks.gpt import GPT

SMALL = {
    "vocab_size": 211, "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 96,
}  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 100_000.0}
HALF = ROPE | {"partial_rotary_factor": 0.5}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 24}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {"num_key_value_heads": 2, "rope_parameters": ROPE, "rms_norm_eps": 1e-5}),
    "llama tied (SmolLM2)": ("LlamaConfig", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "llama with biases": ("LlamaConfig", {"attention_bias": True}),
    "llama3 scaling": ("LlamaConfig", {"num_key_value_heads": 2, "rope_parameters": LLAMA3}),
    "linear scaling": ("LlamaConfig", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}),
    "yarn scaling": ("LlamaConfig", {"rope_parameters": YARN}),
    "mistral": ("MistralConfig", {"num_key_value_heads": 2, "sliding_window": None}),
    "mistral with a window": ("MistralConfig", {"num_key_value_heads": 2, "sliding_window": 12}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 2}),
    "qwen3": ("Qwen3Config", {"num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True}),
    "gpt2": ("GPT2Config", {}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "gpt_neox in sequence": ("GPTNeoXConfig", {"use_parallel_residual": False, "rope_parameters": HALF}),
    "nanochat": ("NanoChatConfig", {"num_key_value_heads": 2}),
}  # fmt: skip
GPT2 = {"vocab_size": 211, "n_positions": 96, "n_embd": 64, "n_layer": 3, "n_head": 4}


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda name: name.replace(" ", "-"))
def pair(request: pytest.FixtureRequest) -> tuple[Any, GPT]:
    """A model of transformers whose every weight is random, and the same model here."""
    transformers = pytest.importorskip("transformers")
    kind, values = CONFIGS[request.param]
    config = getattr(transformers, kind)(**(GPT2 if kind == "GPT2Config" else SMALL), **values)
    torch.manual_seed(0)
    peer = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if parameter.ndim == 1 else 0.05))
    family = family_of(config.to_dict())
    arguments = family.arguments(Config(config.to_dict()))
    network = GPT(**arguments)
    tensors = as_saved(peer)
    state = {weight.name: weight.read(tensors) for weight in family.weights(arguments)}
    missing = network.load_state_dict(state, strict=False).missing_keys
    assert missing == (["readout.weight"] if arguments["tied"] else [])
    return peer, network.eval()


def as_saved(peer: Any) -> dict[str, Tensor]:
    """The weights by their names in files: the readout of GPT-NeoX has another name there."""
    names = {"lm_head.weight": "embed_out.weight"} if peer.config.model_type == "gpt_neox" else {}
    return {names.get(name, name): tensor for name, tensor in peer.state_dict().items()}


def tokens() -> Tensor:
    return torch.randint(0, 211, (2, 60), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def exact() -> Iterator[None]:
    with torch.inference_mode():
        yield


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 5e-6


@pytest.mark.peers
def test_logits_are_equal(pair: tuple[Any, GPT], exact: None) -> None:
    peer, network = pair
    assert_equal(network(tokens()), peer(tokens()).logits)


@pytest.mark.peers
def test_logits_with_a_cache_are_equal(pair: tuple[Any, GPT], exact: None) -> None:
    peer, network = pair
    x = tokens()
    logits, cache = network.prefill(x[:, :30], None, 30)
    steps = [logits, *(network.step(x[:, position], cache) for position in range(30, 59))]
    assert_equal(torch.stack(steps, 1), peer(x).logits[:, 29:59])


@pytest.mark.peers
def test_logits_of_unequal_prompts_are_those_of_each_alone(pair: tuple[Any, GPT], exact: None) -> None:
    peer, network = pair
    x, valid = tokens(), torch.ones(2, 40, dtype=torch.bool)
    valid[0, :11] = False
    padded = torch.cat([torch.cat([torch.zeros(1, 11, dtype=torch.long), x[:1, :29]], 1), x[1:, :40]])
    logits, cache = network.prefill(padded, valid, 2)
    following = network.step(torch.stack([x[0, 29], x[1, 40]]), cache)
    assert_equal(logits[0], peer(x[:1]).logits[0, 28])
    assert_equal(logits[1], peer(x[1:]).logits[0, 39])
    assert_equal(following[0], peer(x[:1]).logits[0, 29])
    assert_equal(following[1], peer(x[1:]).logits[0, 40])


@pytest.mark.peers
def test_weights_come_back_bit_for_bit(pair: tuple[Any, GPT]) -> None:
    peer, network = pair
    config = peer.config.to_dict()
    family = family_of(config)
    state, back = network.state_dict(), {}
    for weight in family.weights(family.arguments(Config(config))):
        back |= weight.write(state[weight.name])
    expected = as_saved(peer)
    assert all(tensor.equal(expected[name]) for name, tensor in back.items())
    tied = {"lm_head.weight"} if peer.config.tie_word_embeddings else set()
    assert expected.keys() - back.keys() <= tied


LLAMA = {"model_type": "llama", **SMALL, "rms_norm_eps": 1e-6}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gemma3"}, r"model_type='gemma3' is not supported.*There are: llama, mistral"),
        ({"model_type": None}, "model_type=None is not supported"),
        ({"model_type": "lama"}, "Did you mean 'llama'"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu' is not supported; only 'silu' is"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"rms_norm_eps": None}, "rms_norm_eps is missing"),
        ({"rope_parameters": [1]}, "rope_parameters should be values by name"),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], message: str) -> None:
    config = LLAMA | changes
    with pytest.raises(UserError, match=message):
        family_of(config).arguments(Config(config))


def test_both_spellings_of_rotary_values_are_read() -> None:
    old = LLAMA | {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}
    new = LLAMA | {"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}}
    arguments = [FAMILIES["llama"].arguments(Config(config)) for config in (old, new)]
    assert arguments[0] == arguments[1] and arguments[0]["rotary_base"] == 5e5
    assert arguments[0]["rotary_scaling"]["rope_type"] == "linear"

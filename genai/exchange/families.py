"""Families of language models of transformers: their configs as arguments of ``GPT``, their weights by its names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genai.core.errors import UserError, did_you_mean, short_repr
from genai.exchange.hf_config import Config, rope_parameters, sizes, to_float
from genai.exchange.weight_layout import HeadShape, Weight

PLAIN = {"ngrams": 1, "qk_norm": "none", "embedding_norm": False, "embedding_mix": False}
"""Arguments of a ``GPT`` without the additions of its default block."""
FLOAT32_EPS = 2.0**-23
"""What torch adds in an RMSNorm without ``eps``."""
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        arguments: maps a config to arguments of ``GPT``.
        weights: lists the tensors of a ``GPT`` with these arguments.
        config: maps arguments of ``GPT`` to a config.
        required: arguments that its models have, with the values that are possible.
        prefix: what some files leave out before the names of all tensors but the readout.
        ignored: ends of the names of tensors without a meaning, such as masks.
    """

    arguments: Callable[[Config], Arguments]
    weights: Callable[[Arguments], list[Weight]]
    config: Callable[[Arguments], dict[str, Any]]
    required: Mapping[str, Sequence[Any]]
    prefix: str = ""
    ignored: tuple[str, ...] = ("rotary_emb.inv_freq",)


def family_of(config: Mapping[str, Any]) -> Family:
    """Return the family of a config. Raises ``UserError`` for one that is not supported, with those that are."""
    name = config.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        hint = did_you_mean(name, FAMILIES)
        raise UserError(
            f"config.json: model_type={short_repr(name)} is not supported.{hint} There are: {', '.join(FAMILIES)}."
        )
    return FAMILIES[name]


# ------------------------------------------------------------------------------------ Llama, Mistral, SmolLM2, Qwen


def _llama_arguments(config: Config, bias: Literal["none", "qkv"] = "none", qk_norm: str = "none") -> Arguments:
    config.require("hidden_act", "silu")
    config.require("mlp_bias", False)
    config.require("pretraining_tp", 1)
    window = config.optional_integer("sliding_window") if config.flag("use_sliding_window", True) else None
    context = config.integer("max_position_embeddings")
    return {
        **PLAIN,
        "block": min(window or context, context),
        "vocab_size": config.integer("vocab_size"),
        "layers": config.integer("num_hidden_layers"),
        "heads": config.integer("num_attention_heads"),
        "kv_heads": config.integer("num_key_value_heads", config.integer("num_attention_heads")),
        "head_width": config.integer(
            "head_dim", config.integer("hidden_size") // config.integer("num_attention_heads")
        ),
        "width": config.integer("hidden_size"),
        "hidden": config.integer("intermediate_size"),
        "activation": "swiglu",
        "affine": True,
        "eps": config.number("rms_norm_eps"),
        "bias": "attention" if config.flag("attention_bias", False) else bias,
        "qk_norm": qk_norm,
        "tied": config.flag("tie_word_embeddings", False),
        **config.rotary(),
    }


def _llama_weights(arguments: Arguments) -> list[Weight]:
    heads = HeadShape.of(arguments, is_rotated=True)
    has_bias = arguments["bias"] != "none"
    weights = [Weight("embedding.weight", "model.embed_tokens.weight"), Weight("norm.weight", "model.norm.weight")]
    for index in range(arguments["layers"]):
        name, other = f"blocks.{index}", f"model.layers.{index}"
        attention = f"{other}.self_attn"
        weights += [
            Weight(f"{name}.attention_norm.weight", f"{other}.input_layernorm.weight"),
            Weight(f"{name}.feed_forward_norm.weight", f"{other}.post_attention_layernorm.weight"),
            *_linear(f"{name}.qkv", [f"{attention}.{part}_proj" for part in "qkv"], has_bias, heads=heads),
            *_linear(f"{name}.attention_out", [f"{attention}.o_proj"], arguments["bias"] == "attention"),
            *_linear(f"{name}.up", [f"{other}.mlp.gate_proj", f"{other}.mlp.up_proj"]),
            *_linear(f"{name}.down", [f"{other}.mlp.down_proj"]),
        ]
        if arguments["qk_norm"] == "before_rotary":
            weights += [
                Weight(f"{name}.{part}_norm.weight", f"{attention}.{part}_norm.weight", heads=heads.single)
                for part in "qk"
            ]
    return weights + _readout(arguments, "lm_head.weight")


def _llama_config(arguments: Arguments, model_type: str, architecture: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": model_type,
        "architectures": [architecture],
        "hidden_act": "silu",
        "num_key_value_heads": arguments["kv_heads"],
        "head_dim": arguments["head_width"],
        "rms_norm_eps": FLOAT32_EPS if arguments["eps"] is None else arguments["eps"],
        "rope_parameters": rope_parameters(arguments),
        **sizes(arguments),
    }
    return config | ({"attention_bias": arguments["bias"] == "attention"} if model_type == "llama" else {})


# ----------------------------------------------------------------------------------------------------- GPT-2


def _gpt2_arguments(config: Config) -> Arguments:
    config.require("scale_attn_weights", True)
    config.require("scale_attn_by_inverse_layer_idx", False)
    width = config.integer("n_embd")
    return {
        **PLAIN,
        "block": config.integer("n_positions", 1024),
        "vocab_size": config.integer("vocab_size"),
        "layers": config.integer("n_layer"),
        "heads": config.integer("n_head"),
        "width": width,
        "hidden": config.integer("n_inner", 4 * width),
        "activation": config.activation("activation_function"),
        "norm": "layer",
        "affine": True,
        "eps": config.number("layer_norm_epsilon", 1e-5),
        "bias": "all",
        "positions": "learned",
        "tied": config.flag("tie_word_embeddings", True),
    }


def _gpt2_weights(arguments: Arguments) -> list[Weight]:
    weights = [
        Weight("embedding.weight", "transformer.wte.weight"),
        Weight("positions.weight", "transformer.wpe.weight"),
        *_norm("norm", "transformer.ln_f"),
    ]
    for index in range(arguments["layers"]):
        name, other = f"blocks.{index}", f"transformer.h.{index}"
        weights += [
            *_norm(f"{name}.attention_norm", f"{other}.ln_1"),
            *_norm(f"{name}.feed_forward_norm", f"{other}.ln_2"),
            *_linear(f"{name}.qkv", [f"{other}.attn.c_attn"], True, transposed=True),
            *_linear(f"{name}.attention_out", [f"{other}.attn.c_proj"], True, transposed=True),
            *_linear(f"{name}.up", [f"{other}.mlp.c_fc"], True, transposed=True),
            *_linear(f"{name}.down", [f"{other}.mlp.c_proj"], True, transposed=True),
        ]
    return weights + _readout(arguments, "lm_head.weight")


def _gpt2_config(arguments: Arguments) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": arguments["vocab_size"],
        "n_positions": arguments["block"],
        "n_layer": arguments["layers"],
        "n_head": arguments["heads"],
        "n_embd": arguments["width"],
        "n_inner": arguments["hidden"],
        "activation_function": _activation_name(arguments, "gelu_new"),
        "layer_norm_epsilon": 1e-5 if arguments["eps"] is None else arguments["eps"],
        "tie_word_embeddings": arguments["tied"],
        "dtype": "float32",
    }


def _activation_name(arguments: Arguments, tanh: str) -> str:
    """Return the name of an activation in configs; several are the tanh approximation of GELU."""
    name: str = arguments["activation"]
    return {"gelu_tanh": tanh}.get(name, name)


# ------------------------------------------------------------------------------------------- GPT-NeoX (Pythia)


def _neox_arguments(config: Config) -> Arguments:
    config.require("attention_bias", True)
    fraction = config.rope.get("partial_rotary_factor", config.values.get("rotary_pct", 0.25))
    return {
        **PLAIN,
        "block": config.integer("max_position_embeddings"),
        "vocab_size": config.integer("vocab_size"),
        "layers": config.integer("num_hidden_layers"),
        "heads": config.integer("num_attention_heads"),
        "width": config.integer("hidden_size"),
        "hidden": config.integer("intermediate_size"),
        "activation": config.activation("hidden_act"),
        "norm": "layer",
        "affine": True,
        "eps": config.number("layer_norm_eps", 1e-5),
        "bias": "all",
        "rotary_fraction": to_float("partial_rotary_factor", fraction),
        "parallel": config.flag("use_parallel_residual", True),
        "tied": config.flag("tie_word_embeddings", False),
        **config.rotary(),
    }


def _neox_weights(arguments: Arguments) -> list[Weight]:
    heads = HeadShape.of(arguments, is_rotated=True, is_interleaved=True)
    weights = [Weight("embedding.weight", "gpt_neox.embed_in.weight"), *_norm("norm", "gpt_neox.final_layer_norm")]
    for index in range(arguments["layers"]):
        name, other = f"blocks.{index}", f"gpt_neox.layers.{index}"
        weights += [
            *_norm(f"{name}.attention_norm", f"{other}.input_layernorm"),
            *_norm(f"{name}.feed_forward_norm", f"{other}.post_attention_layernorm"),
            *_linear(f"{name}.qkv", [f"{other}.attention.query_key_value"], True, heads=heads),
            *_linear(f"{name}.attention_out", [f"{other}.attention.dense"], True),
            *_linear(f"{name}.up", [f"{other}.mlp.dense_h_to_4h"], True),
            *_linear(f"{name}.down", [f"{other}.mlp.dense_4h_to_h"], True),
        ]
    return weights + _readout(arguments, "embed_out.weight")


def _neox_config(arguments: Arguments) -> dict[str, Any]:
    rope = rope_parameters(arguments) | {"partial_rotary_factor": arguments["rotary_fraction"]}
    return {
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "hidden_act": _activation_name(arguments, "gelu_new"),
        "layer_norm_eps": 1e-5 if arguments["eps"] is None else arguments["eps"],
        "rope_parameters": rope,
        "use_parallel_residual": arguments["parallel"],
        "attention_bias": True,
        **sizes(arguments),
    }


# ------------------------------------------------------------------------------------------------- nanochat


def _nanochat_arguments(config: Config) -> Arguments:
    config.require("hidden_act", "relu2")
    config.require("attention_bias", False)
    cap = config.values.get("final_logit_softcapping")
    return {
        "block": config.integer("max_position_embeddings"),
        "vocab_size": config.integer("vocab_size"),
        "layers": config.integer("num_hidden_layers"),
        "heads": config.integer("num_attention_heads"),
        "kv_heads": config.integer("num_key_value_heads", config.integer("num_attention_heads")),
        "width": config.integer("hidden_size"),
        "hidden": config.integer("intermediate_size"),
        "activation": "relu2",
        "eps": config.number("rms_norm_eps", 1e-6),
        "ngrams": 1,
        "embedding_mix": False,
        "qk_gain": 1.0,
        "softcap": None if cap is None else config.number("final_logit_softcapping"),
        "tied": config.flag("tie_word_embeddings", False),
        **config.rotary(),
    }


def _nanochat_weights(arguments: Arguments) -> list[Weight]:
    weights = [Weight("embedding.weight", "model.embed_tokens.weight")]
    for index in range(arguments["layers"]):
        name, other = f"blocks.{index}", f"model.layers.{index}"
        weights += [
            *_linear(
                f"{name}.qkv", [f"{other}.self_attn.{part}_proj" for part in "qkv"], heads=HeadShape.of(arguments)
            ),
            *_linear(f"{name}.attention_out", [f"{other}.self_attn.o_proj"]),
            *_linear(f"{name}.up", [f"{other}.mlp.fc1"]),
            *_linear(f"{name}.down", [f"{other}.mlp.fc2"]),
        ]
    return weights + _readout(arguments, "lm_head.weight")


def _nanochat_config(arguments: Arguments) -> dict[str, Any]:
    return {
        "model_type": "nanochat",
        "architectures": ["NanoChatForCausalLM"],
        "hidden_act": "relu2",
        "num_key_value_heads": arguments["kv_heads"],
        "rms_norm_eps": FLOAT32_EPS if arguments["eps"] is None else arguments["eps"],
        "final_logit_softcapping": arguments["softcap"],
        "rope_parameters": rope_parameters(arguments),
        **sizes(arguments),
    }


# --------------------------------------------------------------------------------------------------- all of them


def _linear(
    name: str, sources: Sequence[str], bias: bool = False, transposed: bool = False, heads: HeadShape | None = None
) -> list[Weight]:
    """List the weight, and the bias, of a linear layer that is made of one or several."""
    weights = [
        Weight(f"{name}.weight", *(f"{source}.weight" for source in sources), transposed=transposed, heads=heads)
    ]
    return weights + bias * [Weight(f"{name}.bias", *(f"{source}.bias" for source in sources), heads=heads)]


def _norm(name: str, source: str) -> list[Weight]:
    return [Weight(f"{name}.{kind}", f"{source}.{kind}") for kind in ("weight", "bias")]


def _readout(arguments: Arguments, source: str) -> list[Weight]:
    return [] if arguments["tied"] else [Weight("readout.weight", source)]


ROTARY: dict[str, Sequence[Any]] = {
    "ngrams": (1,), "embedding_mix": (False,), "positions": ("rotary",), "rotary_fraction": (1.0,),
    "parallel": (False,),
}  # fmt: skip
LLAMA = ROTARY | {
    "embedding_norm": (False,), "norm": ("rms",), "affine": (True,), "activation": ("swiglu",), "softcap": (None,),
}  # fmt: skip
LAYER_NORM: dict[str, Sequence[Any]] = {
    "ngrams": (1,), "embedding_mix": (False,), "embedding_norm": (False,), "norm": ("layer",), "affine": (True,),
    "bias": ("all",), "activation": ("gelu", "gelu_tanh"), "qk_norm": ("none",), "softcap": (None,),
}  # fmt: skip
NANOCHAT = ROTARY | {
    "embedding_norm": (True,), "norm": ("rms",), "affine": (False,), "activation": ("relu2",), "bias": ("none",),
    "qk_norm": ("after_rotary",), "qk_gain": (1.0,),
}  # fmt: skip
LLAMA_FAMILY = Family(
    _llama_arguments,
    _llama_weights,
    lambda arguments: _llama_config(arguments, "llama", "LlamaForCausalLM"),
    LLAMA | {"qk_norm": ("none",), "bias": ("none", "attention")},
)
FAMILIES = {
    "llama": LLAMA_FAMILY,
    "mistral": LLAMA_FAMILY,  # its window is a shorter context
    "qwen2": Family(
        lambda config: _llama_arguments(config, bias="qkv"),
        _llama_weights,
        lambda arguments: _llama_config(arguments, "qwen2", "Qwen2ForCausalLM"),
        LLAMA | {"qk_norm": ("none",), "bias": ("qkv",)},
    ),
    "qwen3": Family(
        lambda config: _llama_arguments(config, qk_norm="before_rotary"),
        _llama_weights,
        lambda arguments: _llama_config(arguments, "qwen3", "Qwen3ForCausalLM"),
        LLAMA | {"qk_norm": ("before_rotary",), "bias": ("none",)},
    ),
    "gpt2": Family(
        _gpt2_arguments,
        _gpt2_weights,
        _gpt2_config,
        LAYER_NORM | {"positions": ("learned",), "parallel": (False,)},
        "transformer.",
        (".attn.bias", ".attn.masked_bias"),
    ),
    "gpt_neox": Family(
        _neox_arguments,
        _neox_weights,
        _neox_config,
        LAYER_NORM | {"positions": ("rotary",), "parallel": (True, False)},
        "gpt_neox.",
        ("rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"),
    ),
    "nanochat": Family(
        _nanochat_arguments,
        _nanochat_weights,
        _nanochat_config,
        NANOCHAT,
    ),
}
"""By ``model_type`` of ``config.json``."""

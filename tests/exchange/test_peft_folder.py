"""Adapters of peft change models here as they do there, and those that were trained here open in peft."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

import genai
from genai.adapters.lora import LoRA, adapted_layers
from genai.core.errors import UserError
from genai.exchange.families import family_of
from genai.exchange.hf_config import Config
from genai.exchange.peft_folder import merge_peft, peft_digest, write_peft
from genai.methods.autoregressive import Autoregressive
from genai.networks.gpt import GPT
from tests.exchange.test_families import CONFIGS, GPT2, SMALL, as_saved

FUSED = {"gpt2": ["c_attn", "c_fc", "mlp.c_proj"], "gpt_neox": ["query_key_value", "dense_h_to_4h"]}
"""Layers of peft's adapters; of other families some of the projections, so that a fused layer here has gaps."""
SETTINGS = {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj"], "peft_type": "LORA"}


def peer_and_method(name: str) -> tuple[Any, Autoregressive]:
    """A model of transformers with random weights, and the same here."""
    transformers = pytest.importorskip("transformers")
    kind, values = CONFIGS[name]
    config = getattr(transformers, kind)(**(GPT2 if kind == "GPT2Config" else SMALL), **values)
    torch.manual_seed(0)
    peer = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    family = family_of(config.to_dict())
    arguments = family.arguments(Config(config.to_dict()))
    network, tensors = GPT(**arguments), as_saved(peer)
    network.load_state_dict({w.name: w.read(tensors) for w in family.weights(arguments)}, strict=False)
    return peer, Autoregressive(network).eval()


def difference(peer: Any, method: Autoregressive) -> float:
    """The largest difference of logits, relative to the largest."""
    x = torch.randint(0, 211, (2, 60), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = peer(input_ids=x).logits
        return float((method.network(x) - expected).abs().max() / expected.abs().max())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "nanochat"])
def test_an_adapter_of_peft_is_the_same_change(name: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    peer, method = peer_and_method(name)
    targets = FUSED.get(name, ["q_proj", "v_proj", "o_proj", "down_proj" if name != "nanochat" else "fc2"])
    adapted = peft.get_peft_model(peer, peft.LoraConfig(r=4, lora_alpha=12, target_modules=targets, use_rslora=True))
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(parameter, std=0.1)
    adapted.eval().save_pretrained(tmp_path)
    assert difference(adapted, method) > 1e-2  # it changes something
    merge_peft(method, tmp_path)
    assert difference(adapted, method) < 5e-6


@pytest.mark.peers
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "nanochat"])
def test_an_adapter_from_here_is_the_same_change_in_peft(name: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    peer, method = peer_and_method(name)
    LoRA(rank=3, alpha=6.0, targets=["qkv", "attention_out", "up", "*.1.down"]).attach(method)
    for _, layer in adapted_layers(method):
        nn.init.normal_(layer.lora.B, std=0.1)
    state = {key: x for key, x in method.ema_module.state_dict().items() if ".lora." in key}
    write_peft(method, state, {"rank": 3, "alpha": 6.0}, "a base", tmp_path)
    assert difference(peer, method) > 1e-2
    adapted = peft.PeftModel.from_pretrained(peer, tmp_path).eval()
    assert difference(adapted, method) < 5e-6
    _, again = peer_and_method(name)
    merge_peft(again, tmp_path)
    assert difference(adapted, again) < 5e-6


def small_folder(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def factors(rank: int = 3, outputs: int = 64) -> dict[str, torch.Tensor]:
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    return {f"{name}.lora_A.weight": torch.ones(rank, 64), f"{name}.lora_B.weight": torch.ones(outputs, rank)}


def small_method() -> Autoregressive:
    plain = {"ngrams": 1, "qk_norm": "none", "embedding_norm": False, "embedding_mix": False}
    options: dict[str, Any] = {"activation": "swiglu", "affine": True, "eps": 1e-5, **plain}
    return Autoregressive(GPT(211, 96, layers=2, heads=4, width=64, hidden=176, **options))


def test_a_change_is_scaled_and_reaches_only_its_layer(tmp_path: Path) -> None:
    method = small_method()
    before = {name: x.clone() for name, x in method.state_dict().items()}
    merge_peft(method, small_folder(tmp_path, SETTINGS, factors()), factor=0.5)
    changed = {name: x - before[name] for name, x in method.state_dict().items() if not x.equal(before[name])}
    assert list(changed) == ["ema_module.blocks.0.qkv.weight"]
    change = changed["ema_module.blocks.0.qkv.weight"]
    assert change[:64].allclose(torch.tensor(0.5 * 6 / 3 * 3)) and not change[64:].any()


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({"use_dora": True}, {}, "use_dora=True is not supported"),
        ({"bias": "all"}, {}, "bias='all' is not supported"),
        ({"peft_type": "VERA"}, {}, "peft_type='VERA' is not supported"),
        ({"init_lora_weights": "pissa"}, {}, "init_lora_weights='pissa'"),
        ({"modules_to_save": ["lm_head"]}, {}, "modules_to_save"),
        ({"alpha_pattern": {"q_proj": 3}}, {}, "alpha_pattern"),
        ({"something_new": 3}, {}, "something_new=3 is not supported"),
        ({"lora_alpha": "x"}, {}, "lora_alpha='x' is no positive number"),
        ({}, {"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector": torch.ones(2)}, "nothing here"),
        ({}, {"base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight": torch.ones(3, 64)}, "layers.7"),
        ({}, {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(3, 64)}, "one of two factors"),
        ({}, factors(outputs=32), "is .32, 64., not .64, 64."),
        ({}, {name: x * float("nan") for name, x in factors().items()}, "not finite"),
    ],
)
def test_what_is_not_supported_is_refused(
    config: dict[str, Any], tensors: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    folder = small_folder(tmp_path, SETTINGS | config, factors() | tensors)
    with pytest.raises(UserError, match=message):
        merge_peft(small_method(), folder)


def test_small_factors_of_a_huge_change_take_no_memory(tmp_path: Path) -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{name}.lora_A.weight": torch.ones(1, 10**6), f"{name}.lora_B.weight": torch.ones(10**6, 1)}
    with pytest.raises(UserError, match=r"is \(1000000, 1000000\), not \(64, 64\)"):
        merge_peft(small_method(), small_folder(tmp_path, SETTINGS, tensors))


def test_the_hash_of_an_adapter_covers_its_settings(tmp_path: Path) -> None:
    digest = peft_digest(small_folder(tmp_path, SETTINGS, factors()))
    assert digest != peft_digest(small_folder(tmp_path, SETTINGS | {"lora_alpha": 7}, factors()))
    assert digest == peft_digest(small_folder(tmp_path, SETTINGS, factors()))


def test_a_folder_that_is_written_has_the_factors_of_each_projection(tmp_path: Path) -> None:
    method = small_method()
    LoRA(rank=2, targets=["blocks.0.qkv"]).attach(method)
    state = {key: x for key, x in method.ema_module.state_dict().items() if ".lora." in key}
    write_peft(method, state, {"rank": 2, "alpha": 4.0}, "base", tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 2 and config["lora_alpha"] == 4.0 and len(config["target_modules"]) == 3
    shapes = {
        name.split("self_attn.")[1]: tuple(x.shape)
        for name, x in load_file(tmp_path / "adapter_model.safetensors").items()
    }
    assert shapes["k_proj.lora_A.weight"] == (2, 64) and shapes["k_proj.lora_B.weight"] == (64, 2)


@pytest.mark.peers
def test_there_and_back_again(corpus: Path, tmp_path: Path, inside: Callable[..., Any]) -> None:
    """A folder saved by transformers is tuned by an adapter here and opened there: merged, and as base and adapter."""
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    peer, _ = peer_and_method("llama tied (SmolLM2)")
    peer.config.eos_token_id = 0
    peer.save_pretrained(tmp_path / "theirs")
    tokenizer = Tokenizer(models.BPE(unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=211, special_tokens=["<end>"], show_progress=False)
    tokenizer.train([str(corpus)], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.save_pretrained(tmp_path / "theirs")
    words = [
        "adapter=lora",
        "adapter.rank=3",
        "optimizer.lr=0.05",
        "data=text_folder",
        f"data.path={corpus}",
        "steps=8",
    ]
    more = ["batch=2", "val_items=2", "preview_every=100", "trainer=cpu", f"runs={tmp_path / 'runs'}"]
    model = genai.fit(f"init_from={tmp_path / 'theirs'}", *words, *more)
    run = model.file.parent.parent
    for name in ("hf", "peft"):
        done = inside("export", f"ckpt={run}", f"format={name}", f"out={tmp_path / name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs").eval()
    assert difference(base, model.method) > 1e-3
    assert difference(merged, model.method) < 5e-6
    adapted = peft.PeftModel.from_pretrained(base, tmp_path / "peft").eval()
    assert difference(adapted, model.method) < 5e-5  # not merged: other rounding, which depends on the processor
    text = "the cat and a dog saw how old men run"
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")(text)["input_ids"]
    assert ids == fast(text)["input_ids"] == model.modality.encode(text).tolist()
    again = genai.load(tmp_path / "theirs", adapter=tmp_path / "peft", device="cpu")
    assert again.sample("the cat", length=8) == model.sample("the cat", length=8)

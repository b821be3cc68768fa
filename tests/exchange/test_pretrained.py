"""Folders of transformers: opened with the same logits and ids, or refused with the reason."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import genai
from genai.cli.compose import compose
from genai.commands.evaluate import measure
from genai.commands.page import page
from genai.core.errors import CorruptCheckpoint, UserError
from genai.exchange.families import family_of
from genai.exchange.hf_config import Config
from genai.media.text import Document
from genai.modalities.pretrained_text import PretrainedTokenizer
from genai.modalities.text import TextOptions
from genai.networks.gpt import GPT
from genai.runs.run import Run

CONFIG = {
    "model_type": "llama", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
    "eos_token_id": 1, "tie_word_embeddings": False,
}  # fmt: skip


def byte_tokenizer() -> Tokenizer:
    """A tokenizer with two special tokens, whose digits stand alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=298, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|start|>", "<|end|>"],
    )  # fmt: skip
    tokenizer.train_from_iterator(["the cat and the dog and the cat 1234"] * 20, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small Llama."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    family = family_of(CONFIG)
    arguments = family.arguments(Config(CONFIG))
    network = GPT(**arguments)
    tensors: dict[str, torch.Tensor] = {}
    for weight in family.weights(arguments):
        tensors |= weight.write(torch.randn(network.state_dict()[weight.name].shape) * 0.1)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text(byte_tokenizer().to_str())
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    return folder


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "model"))


def change_config(folder: Path, **values: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **values}))


def test_a_folder_is_a_model(folder: Path) -> None:
    model = genai.load(folder, device="cpu")
    base = {"name": "model", "digest": model.digest, "license": "apache-2.0"}
    assert model.record == {"modality": "text", "model": "llama", "license": "apache-2.0", "base": base}
    (first,) = model.sample("the cat", length=8)
    assert first.startswith("the cat") and first == genai.load(folder, device="cpu").sample("the cat", length=8)[0]
    together = model.sample(["the cat", "a"], length=8)
    assert together[0] == first


WORDS = (
    "data=text_folder",
    "batch=2",
    "schedule.cooldown=0",
    "val_items=2",
    "preview_every=100",
    "trainer=cpu",
    "trainer.threads=1",
)


@pytest.mark.parametrize("words", [["adapter=lora", "adapter.rank=2"], []], ids=["adapter", "all weights"])
def test_a_run_starts_from_it_and_resumes(words: list[str], folder: Path, corpus: Path, tmp_path: Path) -> None:
    places = (f"data.path={corpus}", f"runs={tmp_path / 'runs'}")
    model = genai.fit(f"init_from={folder}", *words, "modality.block=24", "steps=3", "seed=1", *WORDS, *places)
    run = Run(model.file.parent.parent)
    base = run.record.base
    assert base is not None and (base.name, base.license, base.path) == ("model", "apache-2.0", str(folder))
    assert run.folder.name.endswith("text-llama-corpus") and run.record.model == "llama"
    assert (run.folder / "config.yaml").read_text().count("PretrainedText") == 1
    whole = genai.fit(f"resume={run.folder}", "steps=5")
    other = genai.fit(f"init_from={folder}", *words, "modality.block=24", "steps=5", "seed=1", *WORDS, *places)
    tensors, other_tensors = whole.method.state_dict(), other.method.state_dict()
    assert all(tensors[name].equal(other_tensors[name]) for name in tensors)
    untrained = genai.load(folder, device="cpu").method.state_dict()
    assert tensors.keys() == untrained.keys() and any(not tensors[name].equal(untrained[name]) for name in tensors)
    assert whole.modality.block == 24


def test_a_run_that_learns_nothing_is_the_model(folder: Path, corpus: Path, tmp_path: Path) -> None:
    rates = [f"optimizer.{name}=0" for name in ("lr", "embedding_lr", "head_lr")]
    places = (f"data.path={corpus}", f"runs={tmp_path / 'runs'}")
    model = genai.fit(f"init_from={folder}", *rates, "steps=2", *WORDS, *places)
    assert model.sample("the cat", length=8) == genai.load(folder, device="cpu").sample("the cat", length=8)


def test_options_that_do_not_fit_its_weights_are_refused(folder: Path, corpus: Path, tmp_path: Path) -> None:
    places = (f"data.path={corpus}", f"runs={tmp_path / 'runs'}")
    for word, message in (
        ("model=gpt", "model=gpt: init_from= brings its own, llama"),
        ("modality=image", "modality=image: init_from= brings its own, text"),
        ("model.network.layers=5", "does not fit the options given here"),
        ("modality.vocab_size=400", "does not fit the options given here"),
    ):
        with pytest.raises(UserError, match=message):
            genai.fit(f"init_from={folder}", word, "steps=2", *WORDS, *places)
    assert not (tmp_path / "runs").exists()


def test_the_end_is_any_of_several_tokens(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 0]}))
    model = genai.load(folder, device="cpu")
    assert model.modality.end_tokens == (1, 0)
    network = model.method.network
    with torch.no_grad():
        network.readout.weight.zero_()
        network.readout.weight[0] = 0
    assert (
        model.sample("a", length=5, temperature=0.0)[0] == "a"
    )  # all logits are equal: the first token, which ends it


def test_the_defaults_of_sampling_are_read(folder: Path) -> None:
    file = folder / "generation_config.json"
    file.write_text(json.dumps({"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 20}))
    assert genai.load(folder, device="cpu").method.sampling == {"temperature": 0.6, "top_p": 0.9}
    file.write_text(json.dumps({"temperature": 0.6}))
    assert genai.load(folder, device="cpu").method.sampling == {}


def test_defaults_of_sampling_that_cannot_be_followed_are_named_on_one_line(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    values = {"do_sample": True, "temperature": -1, "top_p": "x", "top_k": 5, "num_beams": 4, "typical_p": 1.0}
    (folder / "generation_config.json").write_text(json.dumps(values))
    assert genai.load(folder, device="cpu").method.sampling == {"top_k": 5}
    (line,) = capfd.readouterr().err.splitlines()
    assert "generation_config.json: left out: temperature=-1" in line and "top_p='x'" in line and "num_beams=4" in line
    assert "top_k" not in line and "typical_p" not in line


def test_an_end_out_of_range_is_blamed_on_the_file_that_names_it(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 300]}))
    with pytest.raises(UserError, match=r"generation_config\.json: eos_token_id=300, but the model has 300 tokens"):
        genai.load(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": None}))
    assert genai.load(folder, device="cpu").modality.end_tokens == (1,)
    change_config(folder, eos_token_id=-1)
    with pytest.raises(UserError, match=r"/config\.json: eos_token_id=-1"):
        genai.load(folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"])
def test_the_hash_covers_every_file_that_is_read(name: str, folder: Path) -> None:
    (folder / "generation_config.json").write_text("{}")
    before = genai.load(folder, device="cpu").digest
    if name == "model.safetensors":
        with_tensor("model.norm.weight", torch.ones(32))(folder)
    else:
        (folder / name).write_text((folder / name).read_text() + " ")
    assert genai.load(folder, device="cpu").digest != before


def test_a_page_says_what_it_needs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a model of another tool, without a run to show: page needs a run folder"):
        page(compose("page", [f"ckpt={folder}"]))


def test_it_is_measured_on_data_that_are_named(folder: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match="its data are unknown: give data="):
        measure(f"ckpt={folder}")
    results = measure(f"ckpt={folder}", "data=text_folder", f"data.path={corpus}", "device=cpu", "metrics=[val_loss]")
    assert 5 < results["metrics"]["val_loss"]["value"] < 7 and not results["data"]["own"]


def test_shards_are_read_and_a_name_that_leaves_the_folder_is_refused(folder: Path) -> None:
    expected = genai.load(folder, device="cpu").sample("the", length=4)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / shard)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: shard for shard, part in shards.items() for name in part}}))
    assert genai.load(folder, device="cpu").sample("the", length=4) == expected
    for name in ("../secret.safetensors", "/etc/passwd", "x.bin", "a/b.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(UserError, match="which is no file of this folder"):
            genai.load(folder)


def test_the_cache_of_the_hub_may_link_to_its_own_files_only(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "123"
    shutil.copytree(folder, tmp_path / "models--a--b" / "blobs")
    snapshot.mkdir(parents=True)
    for file in (tmp_path / "models--a--b" / "blobs").iterdir():
        (snapshot / file.name).symlink_to(file)
    assert genai.load(snapshot, device="cpu").sample("a", length=2)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(tmp_path / "models--a--b" / "blobs" / "tokenizer.json")
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        genai.load(folder)


def without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        del tensors[name]
        save_file(tensors, folder / "model.safetensors")

    return change


def with_tensor(name: str, value: torch.Tensor) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        save_file({**load_file(folder / "model.safetensors"), name: value}, folder / "model.safetensors")

    return change


def cut(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def endless_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a tensor is missing": (without("model.norm.weight"), "has no tensor model.norm.weight"),
    "a tensor too many": (with_tensor("model.other", torch.zeros(2)), "nothing here takes its tensor"),
    "another shape": (with_tensor("model.norm.weight", torch.zeros(3)), r"is \(3,\), not \(32,\)"),
    "whole numbers": (with_tensor("model.norm.weight", torch.zeros(32, dtype=torch.int8)), "values of type int8"),
    "not finite": (with_tensor("model.norm.weight", torch.full((32,), torch.nan)), "not finite"),
    "half a file": (cut, "is damaged"),
    "an endless header": (endless_header, "is damaged"),
    "a pickle": (only_a_pickle, "a pickle only, which can run code"),
    "a large model": (lambda folder: change_config(folder, hidden_size=65_536, num_hidden_layers=100), "more numbers"),
    "many layers": (lambda folder: change_config(folder, num_hidden_layers=10**6), "more than 512"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "another tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "not a tokenizer"),
    "no end": (lambda folder: change_config(folder, eos_token_id=None), "names no eos_token_id"),
    "an end out of range": (lambda folder: change_config(folder, eos_token_id=300), "the model has 300 tokens"),
    "a list for a config": (lambda folder: (folder / "config.json").write_text("[1]"), "not values by name"),
    "code": (
        lambda folder: change_config(folder, model_type="mine", auto_map={"AutoModel": "mine.Mine"}),
        "model_type='mine' is not supported",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_does_not_fit_is_refused_by_name(kind: str, folder: Path, tmp_path: Path) -> None:
    change, message = HOSTILE[kind]
    change(folder)
    with pytest.raises((UserError, CorruptCheckpoint), match=message):
        genai.load(folder)
    assert not list(tmp_path.rglob("owned"))


def test_a_tokenizer_keeps_its_rules() -> None:
    tokenizer = PretrainedTokenizer(byte_tokenizer().to_str())
    ids = tokenizer.encode("the cat 12<|end|>\u00e9")
    assert b"".join(tokenizer.token_bytes[index] for index in ids) == "the cat 12<|end|>\u00e9".encode()
    assert 1 in ids
    assert [tokenizer.token_bytes[index] for index in tokenizer.encode("12")] == [b"1", b"2"]


def test_a_text_begins_with_the_token_that_the_tokenizer_names(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("<|start|> $A", None, [("<|start|>", 0)])
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    model = genai.load(folder, device="cpu")
    plain = model.modality.encode(Document("a")).tolist()
    assert model.modality.encode_prompt("a").tolist() == [0, *plain]
    assert model.modality.encode_prompt("<|start|>a").tolist() == [0, *plain]
    assert model.sample("a", length=3)[0].startswith("a")


def test_marks_of_its_tokenizer_fill_gaps(folder: Path) -> None:
    model = genai.load(folder, device="cpu")
    with pytest.raises(UserError, match="suffix=: this model was not trained to fill gaps"):
        model.sample("the", suffix="dog")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<fim_prefix>", "<fim_suffix>", "<fim_middle>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    model = genai.load(folder, device="cpu")
    prefix, suffix, middle = model.modality.infill_marks
    assert prefix == tokenizer.token_to_id("<fim_prefix>")
    request = model.modality.request(["the"], [0], None, TextOptions(suffix=["dog"]))
    cat, dog = (model.modality.encode(text).tolist() for text in ("the", "dog"))
    begin = tokenizer.encode("", add_special_tokens=True).ids
    assert request.init[0].tolist() == [*begin, prefix, *cat, suffix, *dog, middle]
    assert request.end_tokens[-3:] == (prefix, suffix, middle)  # it could sample them
    sample = str(model.sample("the", suffix="dog", length=4)[0])
    assert sample.startswith("the") and sample.endswith("dog")


def test_a_tokenizer_of_sentencepiece_has_spaces_and_bytes() -> None:
    vocab = {"<unk>": 0, "<0x0A>": 1, "\u2581the": 2, "a": 3}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    assert PretrainedTokenizer(tokenizer.to_str()).token_bytes == [b"<unk>", b"\n", b" the", b"a"]


@pytest.mark.peers
def test_the_folder_is_the_same_model_in_transformers(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    model = genai.load(folder, device="cpu")
    x = torch.randint(0, 298, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        difference = (model.method.network(x) - peer(x).logits).abs().max()
    assert float(difference) < 5e-6 * float(peer(x).logits.abs().max())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"max_position_embeddings": 10**12}, "block=1000000000000: it should be less than or equal to 1000000"),
        ({"rope_theta": "abc"}, "rope_theta is 'abc'"),
        ({"rope_scaling": {"rope_type": "linear", "factor": None}}, "needs factor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "attention_factor": []}}, "should be a number"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "beta_fast": -1}}, "math domain error"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], message: str, source: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "copy")
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    with pytest.raises(UserError, match=message):
        genai.load(folder, device="cpu")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(()), "another shape"),
        (torch.zeros(32, dtype=torch.int8), "values of type int8: quantized weights are not supported"),
    ],
)
def test_weights_of_another_kind_are_named(tensor: torch.Tensor, message: str, source: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "copy")
    name = "model.norm.weight" if tensor.ndim else "model.layers.0.self_attn.q_proj.weight"
    save_file(load_file(folder / "model.safetensors") | {name: tensor}, folder / "model.safetensors")
    with pytest.raises((UserError, CorruptCheckpoint), match=message):
        genai.load(folder, device="cpu")


def test_gpt_neox_names_its_rotary_base_otherwise() -> None:
    assert Config({"rotary_emb_base": 500}).rotary()["rotary_base"] == 500


def test_a_sample_is_repeated_from_its_recipe(
    source: Path, tmp_path: Path, inside: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = inside("sample", f"ckpt={source}", "prompt=the cat", "length=8", "out=one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = inside("sample", "from=one/000.json", "out=two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one" / "000.txt").read_bytes() == (tmp_path / "two" / "000.txt").read_bytes()

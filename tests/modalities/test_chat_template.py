"""Chat templates are rendered as transformers renders them, and stay with the model."""

import json
from pathlib import Path
from typing import Any

import pytest

import genai
from genai.core.errors import RunError, UserError
from genai.exchange.hf_export import export_folder
from genai.modalities import chat_template
from genai.modalities.chat_template import MAX_SOURCE, ChatTemplate
from genai.modalities.pretrained_text import PretrainedText
from tests.exchange.test_pretrained import byte_tokenizer, source  # noqa: F401

CHATML = (
    "{% for message in messages %}\n    {{- '<|im_start|>' + message.role + '\\n' + message.content }}"
    "{{ '<|im_end|>\\n' -}}\n{% endfor %}\n{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{- bos_token }}\n{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}\n"
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}\n"
    "{#- the first message #}\n{%- if messages[0]['role'] == 'system' %}\n"
    "    {%- set system_message = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n"
    "{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n{{- 'Today: ' + date_string + '\\n\\n' }}\n"
    "{{- system_message }}\n{{- '<|eot_id|>' }}\n{%- for message in messages %}\n"
    "    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}\n"
    "        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim }}\n"
    "        {{- '<|eot_id|>' }}\n    {%- elif 'tool_calls' in message %}\n"
    "        {{- message.tool_calls[0].function.arguments | tojson(indent=2) }}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"
)
QWEN = (
    "{%- set ns = namespace(last=0, steps=[]) %}\n{%- for message in messages[::-1] %}\n"
    "    {%- set index = (messages|length - 1) - loop.index0 %}\n"
    "    {%- if message.role == 'user' and message.content is string %}\n        {%- set ns.last = index %}\n"
    "        {%- break %}\n    {%- endif %}\n{%- endfor %}\n{%- for message in messages %}\n"
    "    {%- if message.role == 'system' and loop.first %}\n"
    "        {{- '<|im_start|>' + message.content + '<|im_end|>\\n' }}\n"
    "    {%- elif message.role == 'assistant' %}\n"
    "        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}\n"
    "        {% generation %}{{- '<|im_start|>assistant\\n' + content }}{% endgeneration %}\n"
    "        {%- for call in message.tool_calls or [] %}\n"
    '            {{- \'\\n<tool_call>\\n{"name": "\' ~ call.function.name ~ \'", "arguments": \' }}\n'
    "            {{- call.function.arguments | tojson }}\n"
    "            {{- '}\\n</tool_call>' }}\n        {%- endfor %}\n"
    "        {{- '<|im_end|>\\n' }}\n    {%- else %}\n"
    "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n    {%- endif %}\n"
    "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "qwen": QWEN, "mistral": MISTRAL}
USER = {"role": "user", "content": "  caf\u00e9 <b> & \u65e5\u672c \U0001f600\n"}
CALL = {"function": {"name": "f", "arguments": {"x": "<\u00e9>", "y": [1, 2.5, None]}}}
CHATS: list[list[dict[str, Any]]] = [
    [USER],
    [USER, {"role": "assistant", "content": "<think>hm</think>\n\nHello"}, USER],
    [{"role": "system", "content": " Be short. "}, USER],
    [USER, {"role": "assistant", "content": "a", "tool_calls": [CALL]}],
]


def small_text(template: str | None = CHATML) -> PretrainedText:
    modality = PretrainedText(300, 32, [1])
    state = {"kind": "pretrained", "json": byte_tokenizer().to_str()}
    modality.restore(state)
    modality.chat_template = None if template is None else ChatTemplate(template, {"bos_token": "<|start|>"})
    return modality


def test_messages_become_a_prompt() -> None:
    template = ChatTemplate(CHATML, {"eos_token": "<|end|>"})
    assert (
        template.render([{"role": "user", "content": "hi"}])
        == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template.render([], add_generation_prompt=False) == ""
    assert ChatTemplate("{{ eos_token }}{{ bos_token }}", {"eos_token": "<|end|>"}).render([]) == "<|end|>"


def test_what_a_template_refuses_is_said() -> None:
    with pytest.raises(UserError, match=r"fails: Only user and assistant roles are supported!"):
        ChatTemplate(MISTRAL.replace("(message['role'] == 'user') != (loop.index0 % 2 == 0)", "0")).render(CHATS[2])
    with pytest.raises(UserError, match="fails: unexpected"):
        ChatTemplate("{{ ) }}").render([])


def test_a_large_template_is_compiled_once() -> None:
    large = "{% if x is defined %}{{ x }}{% endif %}" * 1500 + "{{ messages[0].content }}"
    talks = [([{"role": "user", "content": str(number)}], True) for number in range(40)]
    assert ChatTemplate(large).render_all(talks) == list(map(str, range(40)))
    errors = ChatTemplate("{{ ) }}").render_all(talks[:2])
    assert len(errors) == 2 and all("fails: unexpected" in str(error) for error in errors)


def test_the_state_keeps_it_and_an_old_state_has_none() -> None:
    modality = small_text()
    again = small_text(None)
    again.restore(modality.state())
    assert again.chat_prompt([USER]) == modality.chat_prompt([USER]) and again.state() == modality.state()
    again.restore(small_text(None).state())
    assert again.chat_template is None and "chat_template" not in again.state()
    with pytest.raises(UserError, match="has no chat template"):
        again.chat_prompt([USER])
    for wrong in (
        {"source": 1, "special_tokens": {}},
        {"source": "a"},
        [],
        {"source": "", "special_tokens": {"x": "y"}},
    ):
        with pytest.raises(ValueError, match="chat template"):
            again.restore(modality.state() | {"chat_template": wrong})
    with pytest.raises(ValueError, match="at most 65,536"):
        ChatTemplate("a" * (MAX_SOURCE + 1))


def test_a_process_that_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template.sys, "executable", "/no/such/python")
    with pytest.raises(RunError, match="cannot start /no/such/python"):
        ChatTemplate("a").render([])


@pytest.mark.parametrize("place", ["file", "config", "named"])
def test_a_folder_has_it_in_one_of_three_places(place: str, source: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "model"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": CHATML}]
    template = {"file": "ignored", "config": CHATML, "named": named}[place]
    config = {"chat_template": template, "bos_token": {"content": "<|start|>"}, "eos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "x", "pad_token": "<|end|>"}))
    if place == "file":
        (folder / "chat_template.jinja").write_text(CHATML)
    model = genai.load(folder, device="cpu")
    assert model.modality.chat_template.special_tokens == {"bos_token": "<|start|>", "pad_token": "<|end|>"}
    assert model.modality.chat_prompt([USER]).startswith("<|im_start|>user\n  caf")
    export_folder(model.modality, model.method, tmp_path / "out")
    again = genai.load(tmp_path / "out", device="cpu").modality.chat_template
    assert again.source == CHATML and again.special_tokens["bos_token"] == "<|start|>"
    (folder / "chat_template.jinja").write_text("a" * (MAX_SOURCE + 1))
    with pytest.raises(UserError, match="at most 65,536 characters"):
        genai.load(folder)


@pytest.mark.peers
@pytest.mark.parametrize("name", TEMPLATES)
def test_transformers_writes_the_same(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    tokens = {"bos_token": "<|start|>", "eos_token": "<|end|>"}
    peer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), **tokens)
    template = ChatTemplate(TEMPLATES[name], tokens)
    compared = 0
    for chat in CHATS:
        for prompt in (True, False):
            options = {"chat_template": TEMPLATES[name], "add_generation_prompt": prompt, "tokenize": False}
            try:
                expected = peer.apply_chat_template(chat, **options)
            except Exception:
                with pytest.raises(UserError, match="fails"):
                    template.render(chat, prompt)
            else:
                assert template.render(chat, prompt) == expected
                compared += 1
    assert compared >= 6

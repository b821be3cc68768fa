"""Completions and chats in OpenAI's shape, compared with ``model.sample``."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient


def complete(client: TestClient, **values: Any) -> Any:
    return client.post(
        "/v1/completions", json={"model": "text", "prompt": "the ", "max_tokens": 20, "seed": 3, **values}
    )


def events(response: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_completion_is_what_the_model_samples(client: TestClient, loaded: Callable[[str], Any]) -> None:
    answer = complete(client, n=2, temperature=0.7).json()
    expected = loaded("text").sample("the ", n=2, seed=3, length=20, temperature=0.7)
    assert [choice["text"] for choice in answer["choices"]] == [text.removeprefix("the ") for text in expected]
    assert answer["object"] == "text_completion" and answer["seed"] == 3
    assert answer["usage"]["prompt_tokens"] == 4 and answer["usage"]["completion_tokens"] == 40
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}


def test_the_parts_of_a_stream_are_the_whole_answer(client: TestClient) -> None:
    whole = complete(client, n=2, stop=["e"]).json()
    parts = events(complete(client, n=2, stop=["e"], stream=True, stream_options={"include_usage": True}))
    assert parts[-1]["choices"] == [] and parts[-1]["usage"] == whole["usage"]
    for index, choice in enumerate(whole["choices"]):
        own = [part["choices"][0] for part in parts[:-1] if part["choices"][0]["index"] == index]
        assert "".join(each["text"] for each in own) == choice["text"] and "e" not in choice["text"]
        assert [each["finish_reason"] for each in own][-1] == choice["finish_reason"]


def test_several_prompts_are_answered_in_their_order(client: TestClient, loaded: Callable[[str], Any]) -> None:
    answer = complete(client, prompt=["the ", "a dog "], echo=True).json()
    expected = loaded("text").sample(["the ", "a dog "], seed=3, length=20)
    assert [choice["text"] for choice in answer["choices"]] == list(expected)


def test_log_probabilities_are_told(client: TestClient, loaded: Callable[[str], Any]) -> None:
    logprobs = complete(client, logprobs=2).json()["choices"][0]["logprobs"]
    expected = loaded("text").sample("the ", seed=3, length=20, logprobs=2)[0].tokens
    assert logprobs["token_logprobs"] == [token.log_prob for token in expected]
    assert {len(top) for top in logprobs["top_logprobs"]} == {2} and logprobs["text_offset"][:2] == [0, 1]
    streamed = events(complete(client, logprobs=2, stream=True))
    assert streamed[-1]["choices"][0]["logprobs"] == logprobs


def test_logit_bias_takes_ids_as_texts(client: TestClient) -> None:
    answer = complete(client, logit_bias={"5": 100}).json()
    assert len(set(answer["choices"][0]["text"])) == 1


def test_a_schema_is_kept(client: TestClient) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "yes", "schema": {"type": "integer", "enum": [1, 2]}}}
    response = complete(client, response_format=schema, seed=1)
    assert response.status_code == 200 or "json_schema=" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"temperature": -3}, "temperature", "greater than or equal to 0"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "presence_penalty"),
        ({"tools": [{"type": "function"}]}, "tools", "no tools"),
        ({"n": 65}, "n", "64 samples"),
        ({"n": 10**15}, "n", "64 samples"),
        ({"max_tokens": 5000}, "length", "allows 4096"),
        ({"temprature": 1}, None, "Did you mean 'temperature'"),
        ({"prompt": [1, 2, 3]}, "prompt", "ids"),
        ({"prompt": "x" * 100_001}, "prompt", "100,000"),
        ({"best_of": 3}, "best_of", "n=3"),
        ({"logit_bias": {"the": 1}}, "logit_bias", "ids"),
        ({"json_schema": "/etc/passwd"}, "json_schema", "object"),
        ({"init": "/etc/passwd"}, "init", "uploaded"),
        ({"seed": -1}, "seed", "greater"),
        ({"stop": ["a"] * 300}, "stop", "a list of 300"),
        ({"model": "video"}, "model", "clip"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    client: TestClient, values: dict[str, Any], field: str | None, words: str
) -> None:
    response = complete(client, **values)
    error = response.json()["error"]
    assert response.status_code == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == field and words in error["message"]


def test_an_error_of_a_stream_is_its_answer(client: TestClient) -> None:
    assert complete(client, stream=True, top_p=0).status_code == 400


def test_a_model_without_a_template_has_no_chat(client: TestClient) -> None:
    response = client.post(
        "/v1/chat/completions", json={"model": "text", "messages": [{"role": "user", "content": "a"}]}
    )
    assert response.status_code == 400 and "chat template" in response.json()["error"]["message"]


def test_halves_of_surrogate_pairs_do_no_harm(client: TestClient) -> None:
    content = b'{"model": "text", "prompt": "\\ud800 a", "max_tokens": 2, "echo": true}'
    response = client.post("/v1/completions", content=content)
    assert response.json()["choices"][0]["text"].startswith("? a")

"""Fields of requests with any value: never an error of the server's own."""

import json
import random
from typing import Any

import pytest
from starlette.testclient import TestClient

VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    2**70,
    1.5,
    -0.0,
    "",
    "a",
    "\0",
    "../x",
    "\ud83d",
    [],
    [1],
    ["a"],
    [None],
    [[1]],
    {},
    {"a": 1},
    {"type": "json_schema"},
    {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}},
    {"1": "x"},
    {"1": float("nan")},
    [{"role": "user"}],
    [{"role": 1, "content": "a"}],
    [{"role": "user", "content": [{"image": 1}]}],
    [{"role": "user", "content": "a"}],
    "9" * 30,
    "null",
    "{",
    "x" * 300,
]
ENDPOINTS: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": "text", "prompt": "a", "max_tokens": 1},
    "/v1/chat/completions": {"model": "text", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1},
    "/v1/images/generations": {"model": "image", "prompt": "a", "steps": 1},
    "/v1/audio/speech": {"model": "audio", "input": "a", "voice": "", "seconds": 0.01},
    "/v1/videos": {"model": "video", "prompt": "a", "steps": 1, "frames": 1},
    "/api/jobs": {"model": "text", "prompt": "a", "options": {"length": 1}},
}
FIELDS = (
    "n",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "echo",
    "best_of",
    "size",
    "temperature",
    "top_k",
    "response_format",
    "json_schema",
    "regex",
    "stop_ids",
    "format",
    "fps",
    "last",
    "mask",
    "init",
    "outpaint",
    "guidance",
    "voice",
    "speed",
    "seconds",
    "output_format",
    "clip",
    "unknown",
    "tools",
    "user",
)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_any_value_gets_an_answer_or_a_sentence(client: TestClient, path: str) -> None:
    draw = random.Random(path)
    for _ in range(100):
        body = dict(ENDPOINTS[path])
        for name in draw.sample([*FIELDS, *body], draw.choice([1, 1, 2])):
            body[name] = draw.choice(VALUES)
        if path == "/api/jobs" and draw.random() < 0.7:
            body["options"] = {draw.choice(FIELDS): draw.choice(VALUES), "length": 1}
        response = client.post(path, content=json.dumps(body).encode())
        assert response.status_code < 500 or "grammar" in response.text, (body, response.text)
        if response.status_code >= 400:
            assert 10 < len(response.json()["error"]["message"]) < 4200


@pytest.mark.parametrize("path", ["/v1/images/edits", "/v1/images/variations", "/v1/videos", "/api/jobs"])
def test_any_form_gets_an_answer_or_a_sentence(client: TestClient, path: str) -> None:
    draw = random.Random(path)
    for _ in range(40):
        model = draw.choice(["image", "video", "text"])
        form = {"model": model, "steps": "1", "request": json.dumps({"model": model, "options": {}})}
        for name in draw.sample([*FIELDS, *form], draw.choice([0, 1, 2])):
            form[name] = str(draw.choice(VALUES)).encode("utf-8", "replace").decode()
        if path == "/api/jobs":
            form = {"request": form["request"]}
        names = draw.sample(["image", "mask", "init", "input_reference", "last", "../x", "clip"], draw.choice([1, 2]))
        files = {name: draw.choice([b"", b"x", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"RIFF"]) for name in names}
        response = client.post(path, data=form, files=files)
        assert response.status_code < 500, (form, names, response.text)
        assert "genai-upload" not in response.text

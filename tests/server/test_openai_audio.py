"""Sounds in OpenAI's shape, sent while they are generated."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from genai.media.sound import Sound
from tests.stubs import decoded


def speak(client: TestClient, **values: Any) -> Any:
    request = {"model": "audio", "input": "a flute plays C4", "voice": "default", "seed": 2, "seconds": 0.25, **values}
    return client.post("/v1/audio/speech", json=request)


def test_a_streamed_wav_has_the_samples_of_the_model(
    client: TestClient, loaded: Callable[[str], Any], tmp_path: Any
) -> None:
    response = speak(client)
    expected = loaded("audio").sample("a flute plays C4", seed=2, seconds=0.25)[0]
    assert response.headers["content-type"] == "audio/wav" and response.headers["x-seed"] == "2"
    assert response.content[:8] == b"RIFF\xff\xff\xff\xff" and response.content[40:44] == b"\xff\xff\xff\xff"
    assert response.content[44:] == expected.pcm.tobytes() == expected.to_bytes()[44:]
    (tmp_path / "sound.wav").write_bytes(response.content)
    assert len(Sound.read(tmp_path / "sound.wav").samples) == 2000


def test_other_formats_are_whole_files(client: TestClient, loaded: Callable[[str], Any]) -> None:
    expected = loaded("audio").sample("a flute plays C4", seed=2, seconds=0.25)[0]
    assert decoded(speak(client, response_format="flac").content) == decoded(expected.to_bytes(".flac"))


def test_a_sound_with_watermark_is_whole(client: TestClient, loaded: Callable[[str], Any]) -> None:
    response = speak(client, watermark=True)
    expected = loaded("audio").sample("a flute plays C4", seed=2, seconds=0.25, watermark=True)[0]
    assert decoded(response.content) == decoded(expected.to_bytes())
    assert response.content[44:] != speak(client).content[44:]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"voice": "alloy"}, "no speakers"),
        ({"response_format": "mp3"}, "flac"),
        ({"response_format": "../wav"}, "flac"),
        ({"speed": 2.0}, "always 1"),
        ({"seconds": 3600}, "allows 120"),
        ({"instructions": "cheerful"}, "prompt alone"),
        ({"model": "image"}, "for a sound"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(client: TestClient, values: dict[str, Any], words: str) -> None:
    response = speak(client, **values)
    assert response.status_code == 400 and words in response.json()["error"]["message"], response.text

"""Sounds in OpenAI's shape, sent while they are generated."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from genai.media.sound import Sound
from genai.server.app import create_app
from genai.server.settings import ServeSettings
from genai.trust.revocations import revoke
from tests.server.conftest import URL
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
        ({"voice": {"id": "alloy"}}, "no speakers"),
        ({"speed": 9}, "less than or equal to 4"),
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


# ---------------------------------------------------------------------------------------------------------- voices


@pytest.fixture(scope="module")
def reader(trained: Callable[[str], Path]) -> Iterator[TestClient]:
    """A client of a server with a model that reads aloud."""
    app, _ = create_app(ServeSettings(models=f"{{voice: '{trained('speech')}'}}", device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client


def read_aloud(client: TestClient, **values: Any) -> Any:
    request = {"model": "voice", "input": "Amo, emo. Imo!", "voice": "bruno", "seed": 2, **values}
    return client.post("/v1/audio/speech", json=request)


def test_voice_and_speed_are_options_of_a_model_that_has_them(reader: TestClient, loaded: Callable[[str], Any]) -> None:
    response = read_aloud(reader, speed=1.5, pitch=2, variation=0.5)
    options = {"speaker": "bruno", "speed": 1.5, "pitch": 2, "variation": 0.5}
    expected = loaded("speech").sample("Amo, emo. Imo!", seed=2, **options)[0]
    assert response.content[-2 * len(expected.samples) :] == expected.pcm.tobytes()
    assert b"synthetic voice" in response.content[:2000] and b"public-" in response.content[:2000]
    assert read_aloud(reader, voice={"id": "bruno"}, speed=1.5, pitch=2, variation=0.5).content == response.content
    assert read_aloud(reader, voice="default").content != response.content
    address = f"/api/jobs/{response.headers['x-job-id']}/results/0?side_file="
    words = reader.get(f"{address}-words.json").json()["words"]
    assert [word["text"] for word in words] == ["amo", "emo", "imo"]
    assert reader.get(f"{address}.srt").headers["content-type"].startswith("text/plain")


def test_an_unknown_voice_is_refused_with_the_names_that_there_are(reader: TestClient) -> None:
    response = read_aloud(reader, voice="ana")
    assert response.status_code == 400 and "Did you mean 'anna'?" in response.json()["error"]["message"]
    assert read_aloud(reader, pitch=99).status_code == 400


def test_the_options_name_the_speakers(reader: TestClient) -> None:
    answer = reader.get("/api/options?model=voice").json()
    options = {option["name"]: option for option in answer["options"]}
    assert options["speaker"]["enum"] == ["anna", "bruno"] and options["language"]["enum"] == ["en"]
    assert {"speed", "pitch", "pause", "variation"} <= options.keys()
    assert answer["takes_prompt"] and json.dumps(answer)


def test_a_revoked_voice_is_refused_at_each_address(
    reader: TestClient, trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_aloud(reader).status_code == 200  # it is loaded
    monkeypatch.setenv("GENAI_CONSENT", str(tmp_path / "revoked.json"))
    revoke(json.loads((trained("speech") / "record.json").read_text())["consent"][0]["id"])
    app, _ = create_app(ServeSettings(models=f"{{voice: '{trained('speech')}'}}", device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as fresh:
        for client in (reader, fresh):
            job = client.post("/api/jobs", json={"model": "voice", "prompt": "amo"})
            for answer in (read_aloud(client), job, client.get("/api/options?model=voice")):
                assert answer.status_code == 403 and answer.json()["error"]["code"] == "consent_revoked"
    (tmp_path / "revoked.json").write_text("{")
    assert read_aloud(reader).status_code == 503 and str(tmp_path) not in read_aloud(reader).text

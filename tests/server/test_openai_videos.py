"""Clips in OpenAI's shape: begun, asked for, fetched, deleted."""

import io
import time
from collections.abc import Callable
from typing import Any

from PIL import Image
from starlette.testclient import TestClient

from tests.stubs import decoded


def finished(client: TestClient, video: dict[str, Any]) -> dict[str, Any]:
    while video["status"] in ("queued", "in_progress"):
        time.sleep(0.02)
        video = client.get(f"/v1/videos/{video['id']}").json()
    return video


def test_a_clip_is_what_the_model_samples(client: TestClient, loaded: Callable[[str], Any]) -> None:
    form = {"model": "video", "prompt": "a red circle", "seed": "4", "steps": "2", "format": "apng", "seconds": "2"}
    response = client.post("/v1/videos", data=form)
    assert response.status_code == 200, response.text
    video = finished(client, response.json())
    assert video["status"] == "completed" and video["progress"] == 100 and video["seconds"] == "2"
    content = client.get(f"/v1/videos/{video['id']}/content").content
    expected = loaded("video").sample("a red circle", seed=4, steps=2, format="apng", frames=16)[0]
    assert decoded(content) == decoded(expected.to_bytes())
    assert video["id"] in [each["id"] for each in client.get("/v1/videos").json()["data"]]
    assert client.delete(f"/v1/videos/{video['id']}").json()["deleted"]
    assert client.get(f"/v1/videos/{video['id']}").status_code == 404


def test_a_clip_is_canceled_and_can_start_from_a_frame(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "png")
    form = {"model": "video", "prompt": "", "steps": "250"}
    video = client.post("/v1/videos", data=form, files={"input_reference": file.getvalue()}).json()
    assert client.get(f"/v1/videos/{video['id']}/content").status_code == 409
    assert client.delete(f"/v1/videos/{video['id']}").json()["deleted"]


def test_what_does_not_fit_is_refused_in_a_sentence(client: TestClient) -> None:
    for values, words in (
        ({"seconds": "1000"}, "allows 256"),
        ({"size": "720x1280"}, "16x16"),
        ({"model": "text"}, "clip"),
    ):
        response = client.post("/v1/videos", data={"model": "video", "prompt": "", **values})
        assert response.status_code == 400 and words in response.json()["error"]["message"], response.text
    assert client.get("/v1/videos/video_..%2f..%2fetc").status_code == 404

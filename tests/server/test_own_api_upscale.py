"""A server of a model that enlarges pictures: what it tells of itself, and a picture of a client."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

import genai
from genai.media.picture import Picture
from genai.server.app import create_app
from genai.server.settings import ServeSettings
from tests.server.conftest import URL
from tests.stubs import decoded


def test_a_picture_of_a_client_is_enlarged(trained: Callable[[str], Path]) -> None:
    run = trained("upscale")
    app, _ = create_app(ServeSettings(models=f"{{upscale: '{run}'}}", device="cpu", max_values=10_000))
    small = Picture(np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8))
    request = {"model": "upscale", "seed": 3, "options": {"steps": 2, "noise_level": 0.5}}
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        model = client.get("/api/options?model=upscale").json()
        options = {each["name"]: each for each in model["options"]}
        assert model["required_option"] == "init" and not model["takes_prompt"]
        assert "highest PSNR" in options["steps"]["description"] and options["noise_level"]["maximum"] == 1

        def finish(**form: Any) -> dict[str, str]:
            job = client.post("/api/jobs", **form).json()
            while job["state"] in ("queued", "running"):
                time.sleep(0.005)
                job = client.get(f"/api/jobs/{job['id']}").json()
            return job

        form = {"request": json.dumps(request)}
        job = finish(data=form, files={"init": small.to_bytes()})
        answer = client.get(f"/api/jobs/{job['id']}/results/0").content
        assert job["state"] == "done"
        expected = genai.load(run, device="cpu").sample(init=small, seed=3, steps=2, noise_level=0.5)[0]
        assert decoded(answer) == decoded(expected.to_bytes())
        large = Picture(np.zeros((60, 60, 3), np.uint8))  # 43,200 values when it is enlarged
        assert finish(data=form, files={"init": large.to_bytes()})["state"] == "failed"
        assert finish(json={"model": "upscale"})["state"] == "failed"

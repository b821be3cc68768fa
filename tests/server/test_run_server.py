"""A real server: hang-ups, the signal to end, its first line."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from genai.server.service import Service
from genai.server.settings import ServeSettings
from tests.conftest import ROOT
from tests.server.conftest import running_server


@pytest.fixture(scope="module")
def real(models: str) -> Iterator[tuple[str, Service]]:
    with running_server(ServeSettings(models=models, device="cpu")) as (url, service):
        yield url, service


def wait(condition: Callable[[], bool], seconds: float = 20) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.001)
    return time.monotonic() - start


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("/v1/completions", {"model": "text", "prompt": "a", "max_tokens": 4096, "n": 32, "stream": True}),
    "whole text": ("/v1/completions", {"model": "text", "prompt": "a", "max_tokens": 4096, "n": 32}),
    "image": ("/v1/images/generations", {"model": "image", "prompt": "a", "steps": 250, "n": 8}),
    "audio": ("/v1/audio/speech", {"model": "audio", "input": "a", "voice": "", "seconds": 100}),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_hang_up_cancels_within_a_step(real: tuple[str, Service], kind: str) -> None:
    url, service = real
    path, request = REQUESTS[kind]
    with httpx.Client(base_url=url) as client, httpx.Client(base_url=url) as other:
        job_ids = {job.id for job in service.jobs}
        sent = client.build_request("POST", path, json=request)

        async def hang_up() -> None:
            async with httpx.AsyncClient(base_url=url) as gone:
                task = asyncio.create_task(gone.send(sent, stream=True))
                while not any(job.progress for job in service.jobs if job.id not in job_ids):
                    await asyncio.sleep(0.001)
                task.cancel()

        asyncio.run(hang_up())
        job = next(job for job in service.jobs if job.id not in job_ids)
        assert wait(lambda: job.is_over) < 2 and job.state == "canceled"
        assert other.get("/healthz").status_code == 200


def test_a_hang_up_before_the_first_step_cancels_too(
    real: tuple[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, service = real
    monkeypatch.setattr(service.worker, "max_active", 4)
    with httpx.Client(base_url=url) as client:
        for _ in range(4):  # no more are sampled at once
            client.post("/api/jobs", json={"model": "image", "n": 8, "options": {"steps": 250}})
        active = list(service.jobs)
        with pytest.raises(httpx.ReadTimeout):
            client.post(REQUESTS["text"][0], json=REQUESTS["text"][1], timeout=0.2)
        job = next(job for job in service.jobs if job not in active)
        wait(lambda: job.is_over)
        assert job.state == "canceled" and job.recipe is None
        for each in active:
            service.worker.cancel(each)


def test_many_clients_get_their_own_answers(real: tuple[str, Service], loaded: Callable[[str], Any]) -> None:
    url, _ = real
    expected = loaded("text").sample("the ", n=24, seed=0, length=16)

    async def ask() -> list[str]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            request = {"model": "text", "prompt": "the ", "max_tokens": 16, "echo": True}
            answers = [client.post("/v1/completions", json={**request, "seed": seed}) for seed in range(24)]
            return [answer.json()["choices"][0]["text"] for answer in await asyncio.gather(*answers)]

    assert asyncio.run(ask()) == list(expected)


@contextmanager
def command(models: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``python -m genai serve`` and its address."""
    words = [sys.executable, "-m", "genai", "serve", f"models={models}", "port=0", "device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    errors = (tmp_path / "errors").open("w")
    with (
        errors,
        subprocess.Popen(
            words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, stderr=errors
        ) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            match = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/(docs)?\n", line)
            assert match, line
            yield process, match[1]
        finally:
            process.kill()


def test_a_signal_lets_requests_finish_and_refuses_new_ones(models: str, tmp_path: Path) -> None:
    with command(models, tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        wait(lambda: _answers(client), 30)
        request = {"model": "text", "prompt": "a", "max_tokens": 1500, "stream": True, "seed": 1}
        with client.stream("POST", "/v1/completions", json=request) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            wait(lambda: client.get("/healthz").status_code == 503)
            refused = client.post("/v1/completions", json=request)
            assert refused.status_code == 503 and refused.headers["retry-after"]
            text = [line for line in lines if line]
        assert text[-1] == "data: [DONE]"
        assert json.loads(text[-2].removeprefix("data: "))["choices"][0]["finish_reason"] in ("length", "stop")
        assert process.wait(20) == 0


@pytest.mark.slow
def test_a_second_signal_ends_at_once_and_quietly(models: str, tmp_path: Path) -> None:
    with command(models, tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        wait(lambda: _answers(client), 30)
        request = {"model": "text", "prompt": "a", "max_tokens": 4096, "n": 32, "stream": True}
        with client.stream("POST", "/v1/completions", json=request) as response:
            next(response.iter_lines())
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    errors = (tmp_path / "errors").read_text()
    assert "Traceback" not in errors and len(errors.splitlines()) == 2, errors


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False

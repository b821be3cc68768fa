"""A server in a process of its own, for benchmarks: its address, its models, its CPU seconds."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def running_server(runs: str, *words: str, **variables: str) -> Iterator[tuple[str, int]]:
    """Run ``genai serve`` with ``words`` and environment ``variables``; yield its address and its process."""
    command = [sys.executable, "-m", "genai", "serve", f"runs={runs}", "port=0", "device=cpu", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **variables}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip().removesuffix("docs").rstrip("/"), process.pid
        finally:
            process.terminate()


async def model_ids(client: httpx.AsyncClient) -> dict[str, str]:
    """Wait until the server answers, and return the id of a model of each modality."""
    while True:
        try:
            models = (await client.get("/api/models")).json()["data"]
            return {model["modality"]: model["id"] for model in models}
        except httpx.TransportError:
            await asyncio.sleep(0.05)


def process_cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process so far."""
    ticks = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

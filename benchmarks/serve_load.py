"""Load on `python -m genai serve`: many clients, some of which hang up, some of which are hostile.

    .venv/bin/python benchmarks/serve_load.py RUNS [seconds=600] [clients=200]

RUNS is a folder with a finished run of text and one of images. The table has a row for each tenth of the time: answers
by status, requests that were cut off, and the memory and open files of the server.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from server_process import model_ids, process_cpu_seconds, running_server

HOSTILE: list[dict[str, Any]] = [
    {"content": b"[" * 100_000},
    {"content": b'{"model": "../../etc/passwd", "prompt": 1}'},
    {"content": b"\xff" * 10_000},
    {"content": b"{}", "headers": {"host": "evil.example"}},
    {"content": b"{}", "headers": {"origin": "http://evil.example"}},
    {"json": {"model": "x", "prompt": "a", "n": 10**9}},
]
HANG_UPS, HOSTILES = 0.10, 0.05
"""Fractions of requests."""


def main(runs: str, seconds: float = 600, clients: int = 200) -> None:
    """Print the table."""
    with running_server(runs, "active=8", "queue=400") as (url, process):
        asyncio.run(run_clients(url, process, seconds, clients))


async def run_clients(url: str, process: int, seconds: float, clients: int) -> None:
    """Let clients ask for a while and print what they get."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        names = await model_ids(client)
        counts: Counter[str] = Counter()
        end = time.monotonic() + seconds
        tasks = [asyncio.create_task(ask(client, names, random.Random(i), end, counts)) for i in range(clients)]
        print("seconds  requests  200  4xx  429  5xx  failed  hung up  MB  files  CPU s")
        for row in range(1, 11):
            await asyncio.sleep(max(0.0, end - seconds * (1 - row / 10) - time.monotonic()))
            print_row(seconds * row / 10, counts, process)
        await asyncio.gather(*tasks)
        await asyncio.sleep(2)
        print_row(seconds + 2, counts, process)


def print_row(seconds: float, counts: Counter[str], process: int) -> None:
    """Print the counts and the server's memory, open files and processor time."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
    files = len(os.listdir(f"/proc/{process}/fd"))
    names = ("requests", "200", "4xx", "429", "5xx", "failed", "hung up")
    cells = [f"{counts[name]:,}" for name in names]
    print(f"{seconds:.0f}", *cells, f"{memory:.0f}", files, f"{process_cpu_seconds(process):.0f}", sep="  ", flush=True)


async def ask(
    client: httpx.AsyncClient, names: dict[str, str], draw: random.Random, end: float, counts: Counter[str]
) -> None:
    """Send requests one after the other."""
    while time.monotonic() < end:
        counts["requests"] += 1
        seed, kind = draw.randrange(10**6), draw.random()
        text = {"model": names["text"], "prompt": "the ", "max_tokens": 32, "seed": seed}
        image = {"model": names["image"], "prompt": "a", "steps": 4, "seed": seed}
        path, body = ("/v1/completions", text) if draw.random() < 0.7 else ("/v1/images/generations", image)
        try:
            if kind < HANG_UPS:
                counts["hung up"] += 1
                await hang_up(client, {**text, "max_tokens": 2000, "stream": True}, draw.random())
                continue
            if kind < HANG_UPS + HOSTILES:
                response = await client.post("/v1/completions", **draw.choice(HOSTILE))
            else:
                response = await client.post(path, json=body)
            status = response.status_code
            counts["429" if status == 429 else "200" if status == 200 else f"{status // 100}xx"] += 1
            if status == 429:
                await asyncio.sleep(float(response.headers["retry-after"]) * draw.random())
        except httpx.TransportError:
            counts["failed"] += 1


async def hang_up(client: httpx.AsyncClient, body: dict[str, Any], seconds: float) -> None:
    """Begin a request and close its connection after a while."""
    try:
        async with asyncio.timeout(seconds), client.stream("POST", "/v1/completions", json=body) as response:
            async for _ in response.aiter_lines():
                pass
    except TimeoutError:
        pass


if __name__ == "__main__":
    numbers: dict[str, Any] = dict(word.split("=") for word in sys.argv[2:])
    main(sys.argv[1], **{name: int(value) for name, value in numbers.items()})

"""What a server gains when requests share the calls of a network: requests per CPU second, and whether answers change.

    python benchmarks/serve.py [--clients 32] [--requests 64] [--repeats 3] [--json OUT]

Two small models are trained for a few steps, which does not change the speed: a text model that answers with 64 new
tokens, and an image model of 32 x 32 pixels that makes ten steps. The same requests, each with a seed of its own, come
from ``--clients`` clients at once to a server of one thread that samples one request after the other (``active=1``)
and to one that samples all together (``active=32``), in turns. CPU seconds are those of the server's process, with
HTTP and JSON. Answers are compared byte by byte.
"""

import argparse
import asyncio
import hashlib
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from common import QUIET, save
from server_process import model_ids, process_cpu_seconds, running_server

import genai

WAYS = {"one after the other": 1, "together": 32}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("/v1/completions", {"prompt": "def ", "max_tokens": 64, "stop": []}),
    "image": ("/v1/images/generations", {"prompt": "a small red circle", "steps": 10}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in REQUESTS:
            genai.fit(f"modality={kind}", "steps=20", *QUIET, f"runs={folder}")
        for kind in REQUESTS:
            results[kind] = measure(folder, kind, arguments.clients, arguments.requests, arguments.repeats)
    save(arguments.json, results)


def measure(runs: str, kind: str, clients: int, count: int, repeats: int) -> dict[str, Any]:
    """Return and print requests per CPU second of each way, and whether all answers were equal."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    digests = set()
    for _ in range(repeats):
        for way, active in WAYS.items():
            words = (f"active={active}", f"queue={count}")
            with running_server(runs, *words, OMP_NUM_THREADS="1") as (url, process):
                asyncio.run(ask(url, kind, 1, range(2)))  # loads the model, and compiles what is not on the disk
                start = process_cpu_seconds(process)
                digests.add(asyncio.run(ask(url, kind, clients, range(count))))
                seconds[way].append(process_cpu_seconds(process) - start)
    rates = {way: count / median(values) for way, values in seconds.items()}
    first, second = rates.values()
    print(f"{kind}: {rates} requests per CPU s, {second / first:.1f}x; answers equal: {len(digests) == 1}", flush=True)
    return {"rates": rates, "ratio": second / first, "equal": len(digests) == 1}


async def ask(url: str, kind: str, clients: int, seeds: range) -> str:
    """Send a request for each seed, from ``clients`` clients; return the hash of all answers in order."""
    path, body = REQUESTS[kind]
    answers: dict[int, bytes] = {}
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        name = (await model_ids(client))[kind]
        waiting = iter(seeds)

        async def work() -> None:
            for seed in waiting:
                answer = await client.post(path, json={**body, "model": name, "seed": seed})
                answer.raise_for_status()
                values = answer.json()
                item = (values.get("choices") or values["data"])[0]
                answers[seed] = str(item.get("text") or item.get("b64_json")).encode()

        await asyncio.gather(*(work() for _ in range(clients)))
    return hashlib.sha256(b"\0".join(answers[seed] for seed in seeds)).hexdigest()


if __name__ == "__main__":
    main()

"""What a server gains when requests share the calls of a network: requests per CPU second, and whether answers change.

    python benchmarks/serve.py [--clients 32] [--requests 64] [--repeats 3] [--models "text 3M"] [--json OUT]

The models are trained for one or a few steps, which does not change the speed: text models of 3, 11 and 87 million
weights that answer one of three prompts with 64 new tokens, and an image model of 32 x 32 pixels that makes ten steps.
The same requests, each with a seed of its own, come from ``--clients`` clients at once to a server of one thread that
samples one request after the other (``active=1``) and to one that samples all together (``active=32``), in turns. CPU
seconds are those of the server's process, with HTTP and JSON. Answers are compared byte by byte.
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
COMPLETION = (
    "/v1/completions",
    {"prompt": ["def ", "import os\n", "class A:\n    def "], "max_tokens": 64, "stop": []},
)
LARGE = ("model.network.ngrams=1", "steps=1", "batch=1", "val_items=1")
MODELS: dict[str, tuple[tuple[str, dict[str, Any]], tuple[str, ...]]] = {
    "image": (
        ("/v1/images/generations", {"prompt": ["a small red circle"], "steps": 10}),
        ("modality=image", "steps=20"),
    ),
    "text 3M": (COMPLETION, ("modality=text", "steps=20")),
    "text 11M": (COMPLETION, ("modality=text", *LARGE, "model.network.layers=6", "model.network.width=384")),
    "text 87M": (COMPLETION, ("modality=text", *LARGE, "model.network.layers=12", "model.network.width=768")),
}  # fmt: skip
"""Request and training of each model; requests take turns with the prompts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models.split(","):
            genai.fit(*MODELS[name][1], *QUIET, f"runs={folder}/{name}")
            results[name] = measure(f"{folder}/{name}", name, arguments.clients, arguments.requests, arguments.repeats)
    save(arguments.json, results)


def measure(runs: str, name: str, clients: int, count: int, repeats: int) -> dict[str, Any]:
    """Return and print requests per CPU second of each way, and whether all answers were equal."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    digests = set()
    for _ in range(repeats):
        for way, active in WAYS.items():
            words = (f"active={active}", f"queue={count}")
            with running_server(runs, *words, OMP_NUM_THREADS="1") as (url, process):
                asyncio.run(ask(url, name, 1, range(3)))  # loads the model, and compiles what is not on the disk
                start = process_cpu_seconds(process)
                digests.add(asyncio.run(ask(url, name, clients, range(count))))
                seconds[way].append(process_cpu_seconds(process) - start)
    rates = {way: count / median(values) for way, values in seconds.items()}
    first, second = rates.values()
    print(f"{name}: {rates} requests per CPU s, {second / first:.1f}x; answers equal: {len(digests) == 1}", flush=True)
    return {"rates": rates, "ratio": second / first, "equal": len(digests) == 1}


async def ask(url: str, name: str, clients: int, seeds: range) -> str:
    """Send a request for each seed, from ``clients`` clients; return the hash of all answers in order."""
    path, body = MODELS[name][0]
    answers: dict[int, bytes] = {}
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        (model,) = (await model_ids(client)).values()
        waiting = iter(seeds)

        async def work() -> None:
            for seed in waiting:
                prompt = body["prompt"][seed % len(body["prompt"])]
                answer = await client.post(path, json={**body, "prompt": prompt, "model": model, "seed": seed})
                answer.raise_for_status()
                values = answer.json()
                item = (values.get("choices") or values["data"])[0]
                answers[seed] = str(item.get("text") or item.get("b64_json")).encode()

        await asyncio.gather(*(work() for _ in range(clients)))
    return hashlib.sha256(b"\0".join(answers[seed] for seed in seeds)).hexdigest()


if __name__ == "__main__":
    main()

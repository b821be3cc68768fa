"""Every command line in README, docs and ``--help`` runs, on small data and for a few steps."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from PIL import Image

import genai
from genai.cli.compose import compose
from genai.cli.options import split_options
from genai.cli.overrides import with_absolute_paths, with_base_words
from genai.commands.sample import sample
from genai.data.partition_writer import DataNodes
from genai.data.prepare import prepare
from genai.exchange.hf_export import export_folder
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.metrics.text.code_problems import OWN_PROBLEMS
from genai.training.base import find_base, with_base_nodes
from genai.training.codec import with_codec
from genai.training.config import TrainSettings
from genai.training.parts import TrainingParts, build_on_meta
from genai.trust.certificates import read_signer
from genai.trust.embed import add_label
from genai.trust.label import Label
from tests.conftest import ROOT, copy_run
from tests.conftest import SMALL as TEST_RUN
from tests.exchange.web_runtime import WEB_RUNTIME, write_web_runtime

Command = Callable[..., subprocess.CompletedProcess[str]]
TRAIN = ("minutes=null", "steps=2", "val_items=4", "batch=2", "trainer.threads=1")
SMALL = {
    "text": ("model.network.width=16", "model.network.layers=1"),
    "image": ("model.network.width=16", "model.network.blocks=1"),
    "gan": ("model.generator.width=8", "model.discriminator.width=8", "model.prompt.width=16"),
    "audio": tuple(f"model.network.{width}=8" for width in ("residual", "gate", "skip")),
    "video": ("model.network.width=8", "model.network.layout=2", "model.prompt.width=16"),
    "enhancer": tuple(f"model.network.network.{width}=8" for width in ("residual", "gate", "skip")),
    "soundtrack": ("data.items=16", *(f"model.network.{width}=8" for width in ("residual", "gate", "skip"))),
    "voice": ("model.network.width=8",),
}
SIGNS = {
    "soundtrack": ("world_soundtrack", "audio-wavenet"),
    "enhancer": ("enhancer", "noisy.wav"),
    "voice": ("model=tts", "experiment=voice"),
    "audio": ("modality=audio", "fsdd", "experiment=instruments"),
    "video": ("modality=video", "moving_mnist"),
    "gan": ("model=gan",),
    "image": ("modality=image",),
    "text": ("experiment=sft", "experiment=tasks", "modality=text", "text_folder", "shakespeare", "text-gpt", "llama"),
}
"""What shows which kind of model a command is about; else it is the default of training, the newest of runs."""
OPTIONS = {"text": ("length=4",), "image": ("steps=2",), "audio": ("seconds=0.05",), "video": ("steps=2",)}
RECIPES = ROOT / "docs" / "recipes.md"
PAGES = [path for path in (ROOT / "docs").glob("*.md") if path.name not in ("extend.md", RECIPES.name)]
"""The others are run by test_extend.py and, with files of their own, below."""
DOCUMENTS = [ROOT / "README.md", *PAGES, *(ROOT / "configs" / "hydra" / "help").glob("*.yaml")]


def commands(documents: Sequence[Path]) -> list[str]:
    """What follows ``python -m genai.`` and ``python -m genai``; a remark begins after two spaces."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents)
    found = re.findall(r"^(?:\$ |  |#   )python -m genai[. ](\w+ .+)$", text, re.MULTILINE)
    lines = sorted(re.split(r"\s{2,}", line.strip())[0] for line in found)
    different = {re.sub(r" minutes=\d+", "", line): line for line in lines}  # here none trains for minutes
    endless = ("serve",)  # tests/commands/test_serve.py reads those
    return [line for line in different.values() if not line.endswith("--help") and line.split()[0] not in endless]


def with_slow_ones() -> list[Any]:
    """Return the lines; slow are trainings that stand in pages alone, which are built below, and a format of weights.

    Each format is a loop of its own to compile for half a minute; the line with ``quantize=int8`` is another.
    """
    slow = [*trainings_of_pages(), *(line for line in COMMANDS if "dtype=bfloat16" in line)]
    return [pytest.param(line, marks=pytest.mark.slow) if line in slow else line for line in COMMANDS]


def trainings_of_pages() -> list[str]:
    """Trainings that are not in the README."""
    readme = commands(DOCUMENTS[:1])
    return [line for line in COMMANDS if line.startswith("train ") and line not in readme]


COMMANDS = commands(DOCUMENTS)


def recipes() -> list[str]:
    """Commands of the recipes that stand nowhere else."""
    return [line for line in commands([RECIPES]) if line not in COMMANDS]


PLACE_DATA = (
    *(
        "corpus",
        "talks",
        "pictures",
        "fashion",
        "sounds",
        "yesno",
        "voices",
        "films",
        "arrays",
        "pairs",
        "tars",
        "emoji",
    ),
    "trained",
)
"""Fixtures of which ``fill_place`` makes the files that the documents speak of."""


@pytest.fixture(scope="module")
def place(shared: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with all that the documents speak of, made once for all processes; tests work on a copy."""
    folder = shared / "place"
    with FileLock(shared / "place.lock"):
        if not (shared / "place.done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            fill_place(folder, *map(request.getfixturevalue, PLACE_DATA))
            (shared / "place.done").touch()
    return folder


def fill_place(
    folder: Path,
    corpus: Path,
    talks: Path,
    pictures: Path,
    fashion: Path,
    sounds: Path,
    yesno: Path,
    voices: Path,
    films: Path,
    arrays: Path,
    pairs: Path,
    tars: Path,
    emoji: Path,
    trained: Callable[[str], Path],
) -> None:
    (folder / "my_texts").mkdir(parents=True)
    shutil.copy(corpus, folder / "my_texts" / "a.txt")
    shutil.copy(corpus, folder / "shakespeare.txt")
    shutil.copytree(pictures, folder / "my_pictures")
    shutil.copytree(emoji, folder / "emoji")
    for name in ("voice", "my_voice"):
        shutil.copytree(voices, folder / name)
    (folder / "my_music").mkdir()
    for number in range(8):
        soundfile.write(
            folder / "my_music" / f"{number}.wav", np.sin(np.arange(16_000) * (0.1 + 0.01 * number)), 16_000
        )
        (folder / "my_music" / f"{number}.txt").write_text("piano: C4:0.5 E4:0.5")
    shutil.copytree(tars, folder / "my_tars")
    words = ["modality=image", "modality.size=64", "data=webdataset", f"data.path={tars}", "data.val_fraction=0.4"]
    values = compose("train", words).values
    prepare(DataNodes(values["data"], values["modality"]), folder / "prepared")
    shutil.copytree(fashion, folder / "my_sets")
    shutil.copytree(films / "UCF-101", folder / "my_clips")
    shutil.copy(next((films / "UCF-101").glob("*/*.mp4")), folder / "clip.mp4")
    clips = {side: np.load(arrays / f"{side}_clips.npy") for side in ("train", "test")}
    captions = {side: np.load(arrays / f"{side}_captions.npy") for side in clips}
    np.savez(
        folder / "moving_mnist_32.npz",
        **{f"{side}_clips": values for side, values in clips.items()},
        **{f"{side}_captions": values for side, values in captions.items()},
    )
    for name in ("my_sounds", "my_speech", "fsdd"):
        shutil.copytree(sounds, folder / name)
    shutil.copytree(yesno, folder / "my_sets", dirs_exist_ok=True)
    for name in ("clip.wav", "noisy.wav"):
        shutil.copy(sounds / "low_tone" / "2.wav", folder / name)
    track = bytes.fromhex("00903c40 60803c40 00ff2f00")
    (folder / "song.mid").write_bytes(b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk" + len(track).to_bytes(4, "big") + track)
    (folder / "prompts.txt").write_text("one\ntwo\n")
    shutil.copy(talks, folder / "questions.jsonl")
    for name in ("faq.csv", "reworded.csv"):
        (folder / name).write_text("question;answer\n" + "".join(f"{name[0]}{n};{n}\n" for n in range(9)))
    shutil.copy(OWN_PROBLEMS, folder / "HumanEval.jsonl")
    files_of_recipes(folder, corpus, pictures, sounds)
    (folder / "red").mkdir()
    picture = Picture.from_pil(Image.new("RGB", (8, 8), "red")).to_bytes()
    labeled = add_label(picture, ".png", Label("Image Diffusion", "1.0"), read_signer())[".png"]
    (folder / "red" / "000.png").write_bytes(labeled)
    for name in ("photo.png", "mask.png", "first.png", "last.png"):
        Image.new("RGB", (40, 30), "white").save(folder / name)
    kinds = ("enhancer", "soundtrack", "audio", "video", "image", "text")  # the newest is the one that a command means
    runs = [copy_run(trained(kind), folder / "runs", f"12:00:{number:02}") for number, kind in enumerate(kinds)]
    llama = genai.load(trained("llama"), device="cpu")
    export_folder(llama.modality, llama.method, folder / "my_llama")
    settings = json.loads((folder / "my_llama" / "tokenizer_config.json").read_text())
    template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    (folder / "my_llama" / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    shutil.copy(pairs, folder / "preferences.jsonl")
    shutil.copy(talks, folder / "talks.jsonl")
    (folder / "my_rewards.py").write_text("def short_words(prompt, sample):\n    return len(sample) < 9\n")
    write_web_runtime(folder / "node_modules")
    (folder / "talk.json").write_text('[{"role": "user", "content": "Hi"}]')
    for kind in ("llama", "infill"):
        shutil.copytree(trained(kind), folder / "runs" / "2026-01-31" / f"12-00-00-text-{kind}")
    shutil.copytree(trained("autoencoder"), folder / "runs" / "2026-01-30" / "11-00-00-image-autoencoder")
    for kind in ("text-gpt", "text-llama"):
        base, name = trained("text" if kind == "text-gpt" else "llama"), f"13-00-00-{kind}-my_texts"
        words = [f"init_from={base}", "adapter=lora", "data=text_folder", f"data.path={corpus}", *TRAIN]
        adapter = Path(genai.fit(*words, f"runs={folder / 'new'}").file).parent.parent
        adapter.rename(folder / "runs" / "2026-01-31" / name)
    questions = ["experiment=sft", f"data.path={talks}", *TRAIN, *SMALL["text"], f"runs={folder / 'new'}"]
    answers = Path(genai.fit(*questions).file).parent.parent
    answers.rename(folder / "runs" / "2026-01-31" / "14-00-00-text-gpt-questions")
    shutil.rmtree(folder / "new")
    for run, name in {
        0: "30/12-00-00-audio-enhancer",
        1: "30/12-00-00-audio-wavenet",
        4: "30/12-00-00-image-diffusion",
        5: "31/12-00-00-text-gpt",
    }.items():
        runs[run] = runs[run].rename(folder / "runs" / f"2026-01-{name}")
    known, options = split_options("sample", ["prompt=ROMEO:", "n=4", "length=4", f"ckpt={runs[5]}"])
    for name in ("romeo", "names"):
        sample(compose("sample", [*known, f"out={folder / 'samples' / name}"]), options)
    shutil.copytree(runs[5], folder / "12-00-00-text-gpt")


def files_of_recipes(folder: Path, corpus: Path, pictures: Path, sounds: Path) -> None:
    (folder / "names.txt").write_text("".join(f"Anna-{number}\n" for number in range(40)))
    soundfile.write(folder / "long.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * 8000), 8000)
    frames = np.random.default_rng(0).integers(0, 256, (56, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    (folder / "film.mp4").write_bytes(Clip(frames, 8).to_bytes(".mp4"))
    Image.effect_noise((200, 120), 50).save(folder / "big.png")
    shutil.copy(corpus, folder / "book.txt")
    for name in ("fruit", "table", "data/train", "data/test"):
        shutil.copytree(pictures, folder / name)
    files = [f"{path.relative_to(pictures).as_posix()},a box" for path in sorted(pictures.rglob("*.png"))]
    (folder / "table" / "metadata.csv").write_text("\n".join(["file_name,text", *files]))
    for path in (folder / "data" / "train").rglob("*.png"):
        Image.open(path).rotate(90, expand=True).save(path)  # what is on both sides is not trained on
    np.save(folder / "pics.npy", np.random.default_rng(0).integers(0, 256, (12, 20, 24, 3), np.uint8))
    np.save(folder / "labels.npy", np.array(["again", "bird"] * 6))
    (folder / "other_texts").mkdir()
    (folder / "other_texts" / "a.txt").write_text(corpus.read_text()[::-1])


@pytest.mark.slow
@pytest.mark.parametrize("line", recipes())
def test_command_of_a_recipe_runs(line: str, place: Path, inside: Command, command: Command, tmp_path: Path) -> None:
    check(line, place, command if "trainer=ddp" in line else inside, tmp_path)


@pytest.mark.parametrize("line", trainings_of_pages())
def test_training_of_a_page_is_built(line: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    line = line.replace("init_from=smollm2", "init_from=my_llama")
    words = with_base_words(with_absolute_paths(shlex.split(line)[1:]))
    words = [word for word in words if not word.startswith("resume=")]
    config = compose("train", words)
    base = find_base(config, TrainSettings.parse(config.settings), None)
    config, _ = with_codec(with_base_nodes(config, base, None), None)
    build_on_meta(TrainingParts.parse(config), config)


@pytest.mark.parametrize("line", with_slow_ones())
def test_command_runs(line: str, place: Path, inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)  # as python -m does
    monkeypatch.setattr("genai.exchange.web_export.SHA256", WEB_RUNTIME)
    check(line, place, inside, tmp_path)


def check(line: str, place: Path, command: Command, tmp_path: Path) -> None:
    name, *words = shlex.split(line.replace("init_from=smollm2", "init_from=my_llama"))
    if "passes" in line:
        pytest.importorskip("pyseccomp")
    kind = next((name for name, signs in SIGNS.items() if any(sign in line for sign in signs)), None)
    if name in ("train", "check"):
        has_base_model = "adapter=" in line or "init_from=my_llama" in line
        more = tuple(word for word in TRAIN if word != "batch=2" or "batch=" not in line)
        more += () if has_base_model else SMALL[kind or "image"]
        if kind in (None, "image", "video") and not has_base_model and "model=" not in line:
            more += ("model.sampling.steps=2",)  # of previews
            more += ("model.prompt.width=16",) if kind != "video" else ()
        more += (
            ("data.items=16",)
            if kind in (None, "image", "gan", "audio", "video") and "data=" not in line and "experiment=" not in line
            else ()
        )
        run_words = [word for word in TEST_RUN if word != "data=text_folder" or "experiment=" not in line]
        more += tuple(run_words) if "init_from=" in line and not has_base_model else ()
    elif name in ("verify", "certificate", "align"):
        more = ()
    elif name == "prepare":
        more, words = ("processes=1", "data.val_fraction=0.4"), [word.replace("out=", "out=new_") for word in words]
    elif name == "evaluate":
        more = ("n=3",) if kind in ("audio", "enhancer", "soundtrack") else ("n=3", *OPTIONS.get(kind or "text", ()))
    else:
        more = (
            () if "from=" in line or name in ("page", "history", "export", "card") else OPTIONS.get(kind or "text", ())
        )
    if "resume=runs" in line or "resume=12" in line:
        more = ("minutes=null", "steps=8")
    copy_place(place, tmp_path)  # what one command leaves is not there for the next
    done = command(name, *words, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def copy_place(place: Path, folder: Path) -> None:
    """Copy the files, but link checkpoints, which are only ever replaced."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".ckpt") else shutil.copy2)(source, target)

    shutil.copytree(place, folder, dirs_exist_ok=True, copy_function=copy)


def test_python_in_the_readme_runs(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    copy_place(place, tmp_path)
    monkeypatch.chdir(tmp_path)
    small = ", ".join(f'"{word}"' for word in (*TRAIN[1:], *SMALL["text"]))
    code = code.replace('"steps=200"', small).replace("length=100", "length=8")
    scope: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert len(scope["texts"]) == 4  # type: ignore[arg-type]

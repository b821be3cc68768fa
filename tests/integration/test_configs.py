"""Every config that is shipped trains two steps, samples and saves; every run folder holds what it should."""

import csv
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import genai
from genai.cli.compose import compose
from genai.core.paths import config_dir
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.training.run import train
from tests.conftest import FEW_STEPS

TINY = ("steps=2", "batch=2", "val_items=2", "trainer=cpu", "trainer.threads=1")
MEMBERS = {
    "text": {
        "data": ["stdlib", "text_folder", "chat", "tasks"],
        "model": ["gpt", "llama", "gpt2"],
        "tiny": ["model.network.layers=1", "model.network.width=16"],
    },
    "image": {
        "data": ["world", "image_folder", "torchvision", "arrays", "webdataset", "parquet", "prepared"],
        "model": ["diffusion", "video_diffusion", "gan", "upscale", "autoencoder"],
        "tiny": ["model.network.blocks=1", "model.network.width=16", "modality.size=16", "model.prompt.width=16"],
    },
    "audio": {
        "data": ["world", "audio_folder", "world_soundtrack", "torchaudio"],
        "model": ["wavenet", "enhancer"],
        "tiny": ["model.network.layers=2", "model.network.residual=8", "model.network.gate=8", "model.network.skip=8"],
    },
    "video": {
        "data": ["world", "video_folder", "torchvision_video", "arrays"],
        "model": ["video_diffusion"],
        "tiny": ["model.network.width=8", "model.network.layout=2", "model.prompt.width=16", "modality.size=16"],
    },
}
EXPERIMENTS = {
    "tasks": "text",
    "sft": "text",
    "shakespeare_char": "text",
    "world_two": "image",
    "world_64": "image",
    "fsdd": "audio",
    "instruments": "audio",
    "fashion_mnist": "image",
    "emoji": "image",
    "moving_mnist": "video",
    "asl": "video",
    "world_long": "video",
}
DATA = {
    "text_folder": ["data.path={corpus}"],
    "chat": ["data.path={talks}"],
    "tasks": ["data.items=20", "data.val_items=5"],
    "world": ["data.items=16"],
    "world_soundtrack": ["data.items=16"],
    "image_folder": ["data.path={pictures}"],
    "arrays": ["data.path={arrays}/pictures.npy"],
    "webdataset": ["data.path={tars}", "data.val_fraction=0.4"],
    "parquet": ["data.path={tables}", "data.val_fraction=0.4"],
    "prepared": ["data.path={prepared}"],
    "torchvision": ["data.path={fashion}", "data.name=FashionMNIST"],
    "audio_folder": ["data.path={sounds}"],
    "torchaudio": ["data.path={yesno}", "data.name=YESNO"],
    "video_folder": ["data.path={films}/UCF-101"],
    "torchvision_video": ["data.path={films}/UCF-101", "data.name=UCF101"],
    "experiment=dpo": ["data.path={pairs}", "init_from={text_run}"],
    "experiment=grpo": ["data.items=20", "data.val_items=5", "init_from={text_run}"],
    "experiment=subject": ["data.path={pictures}", "init_from={image_run}", "adapter.words=[sky]"],
    "experiment=nft": ["data.items=40", "method.group=2", "method.steps=2", "init_from={image_run}"],
    "experiment=emoji": ["data.path={emoji}"],
    "experiment=voice": ["data.path={voices}"],
    "experiment=clone": ["data.path={new_voice}", "init_from={speech_run}"],
    "experiment=asl": ["data.path={arrays}", "data.array=frames"],
    "video arrays": [
        "data.path={arrays}",
        *(
            f"data.{name}={file}"
            for name, file in {
                "array": "train_clips",
                "captions": "train_captions",
                "val_array": "test_clips",
                "val_captions": "test_captions",
            }.items()
        ),
    ],
}
"""What each kind of data needs to be told, in one modality or in all, with the fixtures that it is told of."""
PLACES = ("corpus", "talks", "pairs", "text_run", "image_run", "pictures", "tars", "tables", "prepared")
PLACES += ("fashion", "arrays", "sounds", "yesno", "films", "emoji", "voices", "new_voice", "speech_run")
METHODS = [
    ("experiment=dpo", "method=dpo", "data=preferences", "optimizer=preference"),
    ("experiment=dpo", "method=reward"),
    ("experiment=grpo", "method=grpo"),
    ("experiment=subject", "adapter=lora"),
    ("experiment=nft", "method=nft"),
    ("experiment=clone",),
]
"""Experiments with the model of another run, whose sizes are its own."""
TINY_MODEL = {
    "gan": ["model.generator.width=8", "model.discriminator.width=8", "modality.size=16", "model.prompt.width=16"],
    "autoencoder": ["model.network.blocks=1", "model.network.width=8", "modality.size=16"],
    "upscale": ["model.network.blocks=1", "model.network.width=8", "modality.size=16"],
    "enhancer": [f"model.network.network.{width}=8" for width in ("residual", "gate", "skip")],
}
"""Instead of the modality's, for models that are built otherwise."""
OPTIONS: dict[str, dict[str, float]] = {
    "gan": {"truncation": 0.7},
    "tts": {"speed": 2},
    "text": {"length": 5},
    "image": {"steps": 2},
    "audio": {"seconds": 0.05},
    "video": {"steps": 2},
}


@pytest.fixture
def text_run(trained: Callable[[str], Path]) -> Path:
    return trained("text")


@pytest.fixture
def speech_run(trained: Callable[[str], Path]) -> Path:
    return trained("speech")


@pytest.fixture
def image_run(trained: Callable[[str], Path]) -> Path:
    return trained("image")


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def choices() -> list[Any]:
    """Each modality with each of its data and models, each experiment.

    The quick ones have each data source, model, optimizer and experiment at least once.
    """
    quick, slow = [], []
    for modality, members in MEMBERS.items():
        optimizers = (f"muon_{modality}", "adamw")
        for (number, data), (place, model) in product(enumerate(members["data"]), enumerate(members["model"])):
            optimizer = "adamw_gan" if model == "gan" else optimizers[number % 2]
            words = (f"modality={modality}", f"data={data}", f"model={model}", f"optimizer={optimizer}")
            is_quick = (number - place) % min(len(members["data"]), len(members["model"])) == 0
            (quick if is_quick else slow).append((*words, *TINY_MODEL.get(model, members["tiny"])))
    for optimizer in ("finetune", "muon"):
        quick.append(("modality=text", "data=text_folder", f"optimizer={optimizer}", *MEMBERS["text"]["tiny"]))
    quick += [(f"experiment={name}", *MEMBERS[modality]["tiny"]) for name, modality in EXPERIMENTS.items()]
    letters = ("modality.phones=letters", "model.network.width=8")
    quick += [("experiment=voice", "model=tts", "optimizer=adamw_speech", *letters), *METHODS]
    quick.append(("experiment=voice", "model=vocoder", "modality.crop=16", "model.network.width=8"))
    return [*quick, *(pytest.param(words, marks=pytest.mark.slow) for words in slow)]


def test_every_config_is_tested() -> None:
    tested = {word for words in choices() if not hasattr(words, "marks") for word in words}
    for group in ("modality", "data", "model", "optimizer", "experiment", "method"):
        assert {f"{group}={name}" for name in names(group)} == {w for w in tested if w.startswith(f"{group}=")}


@pytest.mark.parametrize("words", choices(), ids=lambda words: " ".join(words[:4]))
def test_config_trains_samples_and_saves(
    words: tuple[str, ...], tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = dict(word.split("=") for word in words)
    if not {"modality", "data", "model"} <= chosen.keys():  # an experiment says them
        chosen = compose("train", words).choices
    places = {name: request.getfixturevalue(name) for name in PLACES}
    kinds = (words[0], f"{chosen['modality']} {chosen['data']}", chosen["data"])
    asked = next((DATA[kind] for kind in kinds if kind in DATA), [])
    told = [word.format(**places) for word in asked]
    few_steps = [FEW_STEPS] if chosen["model"] in ("diffusion", "video_diffusion") else []
    composed = compose("train", [*words, *TINY, *few_steps, *told, f"runs={tmp_path}"])
    run = train(composed)
    mends, enlarges = (composed.choices["model"] in names for names in (("enhancer", "vocoder"), ("upscale",)))
    given = " init=FILE" if mends or enlarges else " clip=FILE" if chosen["data"] == "world_soundtrack" else ""
    scores, gives_back = "method=reward" in words, composed.choices["model"] == "autoencoder"
    out = capfd.readouterr().out
    names = [name for name in ("genai.sample", "genai chat") if f"{name} ckpt={run.folder}{given}\n" in out]
    assert len(names) == (0 if scores or gives_back else 1)
    assert {item.name for item in run.folder.iterdir()} >= {
        "config.yaml", "record.json", "metrics.csv", "checkpoints", "tensorboard", *(() if scores else ("previews",)),
    }  # fmt: skip
    for name in ("best", "last"):
        checkpoint = run.folder / "checkpoints" / f"{name}.ckpt"
        assert checkpoint.with_name(f"{name}.ckpt.sha256").read_text().endswith(f"{name}.ckpt\n")
        model = genai.load(checkpoint)
        if scores or name == "best":
            continue  # its model is built as that of last.ckpt
        options: dict[str, Any] = {**OPTIONS.get(composed.choices["model"], OPTIONS[composed.choices["modality"]])}
        if mends:
            options = {"init": places["sounds"] / "low_tone" / "0.flac"}
        elif enlarges:
            options = {"init": Picture(np.zeros((5, 7, 3), np.uint8))}
        elif chosen["data"] == "world_soundtrack":
            options = {"clip": Clip(np.zeros((2, 32, 32, 3), np.uint8), 8)}
        elif gives_back:
            options = {"init": Picture(np.zeros((16, 16, 3), np.uint8))}
        samples = [media.to_bytes() for media in model.sample("a", n=2, seed=3, **options)]
        assert len(samples) == 2
        assert samples == [media.to_bytes() for media in model.sample("a", n=2, seed=3, **options)]
    with (run.folder / "metrics.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][0] == "step"
    assert {"val_loss", "memory_mb"} <= set(rows[0])
    assert {"samples_per_s", "sparse_clips_per_s", "single_frames_per_s"} & set(rows[0])
    prefixes = ("generator_", "discriminator_") if composed.choices["model"] == "gan" else ("",)
    assert {f"{prefix}{name}" for prefix in prefixes for name in ("loss", "lr", "grad_norm")} <= set(rows[0])
    record = json.loads((run.folder / "record.json").read_text())
    assert {"versions", "git", "hardware", "data", "seed", "steps", "seconds", "cpu_seconds"} <= record.keys()
    assert record["steps"] == 2 and record["data"]["train"] > 0 and record["data"]["hash"]
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["steps"] == 2 and config["model"]["_target_"].startswith("genai.methods.")


@pytest.mark.parametrize("modality", ["text", "image", "audio", "video"])
def test_the_optimizer_of_the_command_line_is_the_one(modality: str) -> None:
    for words in ([f"modality={modality}", "optimizer=adamw"], ["optimizer=adamw", f"modality={modality}"]):
        assert compose("train", words).values["optimizer"]["matrix_lr"] is None


@pytest.mark.parametrize("order", [("model=gan", "modality=image"), ("modality=image", "model=gan"), ("model=gan",)])
def test_a_model_brings_its_optimizer_and_the_command_line_another(order: tuple[str, ...]) -> None:
    composed = compose("train", order)
    assert composed.choices["optimizer"] == "adamw_gan" and composed.values["optimizer"]["betas"] == [0.0, 0.99]
    for words in (["optimizer=muon", *order], [*order, "optimizer=muon", "optimizer.lr=0.5"]):
        composed = compose("train", words)
        assert composed.choices["optimizer"] == "muon" and "matrix_lr" not in composed.values["optimizer"]
    assert composed.values["optimizer"]["lr"] == 0.5


def optimizers_everywhere() -> list[Any]:
    """Each optimizer with each modality and with the models that bring one; the quick ones have each at least once."""
    places = [*([f"modality={name}"] for name in names("modality"))]
    places += [["modality=image", "model=gan"], ["modality=audio", "model=enhancer"]]
    pairs = product(enumerate(names("optimizer")), enumerate(places))
    return [
        pytest.param(
            name, words, id=" ".join([name, *words]), marks=() if (number - place) % 3 == 0 else pytest.mark.slow
        )
        for (number, name), (place, words) in pairs
    ]


@pytest.mark.parametrize(("name", "words"), optimizers_everywhere())
def test_the_same_words_mean_the_same_optimizer_in_every_modality(name: str, words: list[str]) -> None:
    wanted = yaml.safe_load((config_dir() / "optimizer" / f"{name}.yaml").read_text())
    words = [*words, f"optimizer={name}"]
    assert compose("train", words).values["optimizer"] == wanted
    assert compose("train", [*words, "optimizer.lr=0.5"]).values["optimizer"] == wanted | {"lr": 0.5}


@pytest.mark.parametrize("modality", names("modality"))
def test_the_order_of_settings_is_one(modality: str) -> None:
    defaults = yaml.safe_load((config_dir() / "modality" / f"{modality}.yaml").read_text())["defaults"]
    order = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in defaults]
    assert order == ["/data", "/optimizer", "_self_", "/model"]


@pytest.mark.parametrize("order", [("model=gpt", "modality=text"), ("modality=text", "model=gpt")])
def test_model_and_modality_in_either_order(order: tuple[str, ...]) -> None:
    composed = compose("train", [*order, "optimizer=adamw"])
    assert composed.choices["model"] == "gpt"
    assert composed.values["optimizer"]["matrix_lr"] is None

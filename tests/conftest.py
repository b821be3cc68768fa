"""Small data and small models that every test can use; nothing here needs a network or a file from elsewhere."""

import gc
import importlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from filelock import FileLock

from tests.composition import remember_compositions

ROOT = Path(__file__).parent.parent
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")
SMALL = (
    "modality=text",
    "data=text_folder",
    "modality.tokenizer=characters",
    "modality.vocab_size=null",
    "modality.block=16",
    "model.network.layers=2",
    "model.network.heads=2",
    "model.network.width=16",
    "model.network.ngram_rows=64",
    "batch=4",
    "val_every=5",
    "log_every=1",
    "preview_every=100",
    "trainer=cpu",
    "trainer.threads=1",
)
"""Words of a command line whose training takes a second or two; ``data.path=`` and ``runs=`` come from the fixtures."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def cache(shared: Path) -> Path:
    """The cache folder of the whole test session."""
    folder = shared / "cache"
    os.environ["GENAI_CACHE"] = str(folder)
    os.environ["GENAI_CERTIFICATES"] = str(shared / "certificates")
    return folder


@pytest.fixture(scope="session", autouse=True)
def unsynced_files() -> Iterator[None]:
    """No waiting for the disk, which only a loss of power would show; tests of ``os.fsync`` replace it themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # it also raises if the file is closed
        yield


@pytest.fixture(scope="session", autouse=True)
def small_stdlib() -> Iterator[None]:
    """A few files of the standard library in place of all, which take many seconds to pack."""
    from genai.data.text import Stdlib

    all_files = Stdlib.files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stdlib, "files", wraps(all_files)(lambda source: (all_files(source)[0][:40], [])))
        yield


@pytest.fixture(scope="session", autouse=True)
def compositions() -> Iterator[None]:
    """One composition of the same config files in place of hundreds."""
    with pytest.MonkeyPatch.context() as patch:
        remember_compositions(patch)
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of some ten thousand characters with words to learn."""
    draw = random.Random(0)
    words = "the cat and a dog saw how old men run to see one big red sun set".split()
    lines = [" ".join(draw.choices(words, k=8)) + "." for _ in range(300)]
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of sixty questions and answers: words, turned round."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefgh", k=4)) for _ in range(60)]
    rows = [[("user", f"turn {word}"), ("assistant", word[::-1])] for word in words]
    path = tmp_path_factory.mktemp("talks") / "talks.jsonl"
    messages = ([{"role": role, "content": content} for role, content in row] for row in rows)
    path.write_text("\n".join(json.dumps({"messages": each}) for each in messages))
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of sixty questions like those of ``talks``, with a right answer and a longer wrong one."""
    draw = random.Random(0)
    words = ["".join(draw.sample("abcdefgh", k=4)) for _ in range(60)]
    rows = [{"prompt": f"turn {word}", "chosen": word[::-1], "rejected": f"{word} no"} for word in words]
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve small pictures, in two sub-folders."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        kind = folder / ("red_ball", "sky")[number % 2]
        kind.mkdir(exist_ok=True)
        Image.new("RGB", (20 + number, 24), ((250, 20 * number, 0), (0, 20 * number, 250))[number % 2]).save(
            kind / f"{number}.png"
        )
    return folder


@pytest.fixture(scope="session")
def tars(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tar files of the pictures, in the layout of WebDataset."""
    import tarfile

    folder = tmp_path_factory.mktemp("tars")
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for file in sorted(pictures.rglob("*.png"))[number::2]:
                archive.add(file, f"{file.stem}.png")
                caption = file.parent.name.encode()
                member = tarfile.TarInfo(f"{file.stem}.txt")
                member.size = len(caption)
                archive.addfile(member, io.BytesIO(caption))
    return folder


@pytest.fixture(scope="session")
def tables(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of the pictures, in the layout of the Hugging Face hub."""
    import pyarrow
    from pyarrow import parquet

    rows = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, "caption": file.parent.name}
        for file in sorted(pictures.rglob("*.png"))
    ]
    path = tmp_path_factory.mktemp("tables") / "pictures.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=5)
    return path


@pytest.fixture(scope="session")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with columns, as ``scripts/emoji.py`` writes them."""
    from PIL import Image

    folder, rows = tmp_path_factory.mktemp("emoji"), []
    for number in range(8):
        Image.new("RGB", (16, 16), (30 * number, 0, 250)).save(folder / f"{number}.png")
        label, style = f"ball {number}", ("noto", "openmoji")[number % 2]
        row = {"text": f"{label}, {style}", "label": label, "style": style, "keywords": ["ball", str(number)]}
        rows.append(json.dumps({"file_name": f"{number}.png", **row}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="session")
def prepared(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of the tar files, prepared with a size of 16."""
    from genai.cli.compose import compose
    from genai.data.partition_writer import DataNodes
    from genai.data.prepare import prepare

    values = compose(
        "train", ["modality=image", "modality.size=16", "data=webdataset", f"data.path={tars}", "data.val_fraction=0.4"]
    ).values
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare(DataNodes(values["data"], values["modality"]), folder)
    return folder


@pytest.fixture(scope="session")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of arrays: pictures; divided clips with captions; frames of clips of different lengths."""
    import numpy as np

    folder, rng = tmp_path_factory.mktemp("arrays"), np.random.default_rng(0)
    np.save(folder / "pictures.npy", rng.integers(0, 256, (12, 20, 24, 3), np.uint8))
    for side, count in (("train", 10), ("test", 4)):
        np.save(folder / f"{side}_clips.npy", rng.integers(0, 256, (count, 16, 32, 32), np.uint8))
        np.save(folder / f"{side}_captions.npy", np.array([f"digit {number}" for number in range(count)]))
    np.save(folder / "frames.npy", rng.integers(0, 256, (100, 20, 20, 3), np.uint8))
    np.save(folder / "start.npy", np.array([0, 20, 45, 80]))
    np.save(folder / "length.npy", np.array([20, 25, 35, 20]))
    np.save(folder / "words.npy", np.array(["again", "bird", "book", "yes"]))
    return folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UCF101 of two classes of four short films, and its lists; films are folders of classes as well."""
    import numpy as np

    from genai.media.clip import Clip

    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    names = [f"{kind}/v_{kind}_g{group:02}_c01.mp4" for kind in ("Archery", "RedBall") for group in range(4)]
    for name in names:
        (folder / "UCF-101" / name).parent.mkdir(parents=True, exist_ok=True)
        frames = rng.integers(0, 256, (20, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        (folder / "UCF-101" / name).write_bytes(Clip(frames, 8).to_bytes(".mp4"))
    (lists := folder / "ucfTrainTestlist").mkdir()
    (lists / "testlist01.txt").write_text("\n".join(name for name in names if "_g00_" in name))
    (lists / "trainlist01.txt").write_text("\n".join(f"{name} 1" for name in names if "_g00_" not in name))
    return folder


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve short tones, in two sub-folders."""
    import numpy as np
    import soundfile

    folder = tmp_path_factory.mktemp("sounds")
    for number in range(12):
        kind = folder / ("low_tone", "high_tone")[number % 2]
        kind.mkdir(exist_ok=True)
        tone = np.sin(np.arange(2000 + 100 * number) * (0.1, 0.4)[number % 2]) * 0.5
        soundfile.write(kind / f"{number}.{('wav', 'flac')[number % 3 == 0]}", tone, 8000)
    return folder


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve recordings of two speakers, whose words are tones with overtones: a letter is a pitch."""
    import numpy as np
    import soundfile

    folder, draw = tmp_path_factory.mktemp("voices"), random.Random(0)
    rows = ["file_name,speaker,text"]
    for number in range(12):
        speaker = ("anna", "bruno")[number % 2]
        words = ["".join(draw.choices("aeimo", k=2)) for _ in range(4)]
        parts = [np.zeros(1200)]
        for letter in " ".join(words):
            pitch = (220, 120)[number % 2] * (1 + 0.05 * "aeimo".find(letter))
            overtones = range(1, 6 + 2 * "aeimo".find(letter))
            phases = np.arange(1600) / 16_000 * 2 * np.pi * pitch
            tone = sum((np.sin(phases * overtone) / overtone for overtone in overtones), np.zeros(1600))
            parts.append(0.2 * tone if letter.strip() else np.zeros(1600))
        soundfile.write(folder / f"{number}.wav", np.concatenate([*parts, np.zeros(1200)]), 16_000)
        rows.append(f'{number}.wav,{speaker},"{" ".join(words).capitalize()}."')
    (folder / "metadata.csv").write_text("\n".join(rows))
    (folder / "consent.yaml").write_text("public: {source: this test, license: CC0-1.0, statement: they are tones}\n")
    return folder


@pytest.fixture(scope="session")
def new_voice(tmp_path_factory: pytest.TempPathFactory, voices: Path) -> Path:
    """A folder ``carla`` with six recordings of one speaker of ``voices``, without a table, and consent to clone."""
    (folder := tmp_path_factory.mktemp("new_voice") / "carla").mkdir()
    for row in (voices / "metadata.csv").read_text().splitlines()[1:]:
        name, speaker, text = row.split(",", 2)
        if speaker == "bruno":
            shutil.copy(voices / name, folder)
            (folder / name).with_suffix(".txt").write_text(text.strip('"'))
    content = "public: {source: this test, license: CC0-1.0, statement: they are tones, to: [train, clone, publish]}\n"
    (folder / "consent.yaml").write_text(content)
    return folder


@pytest.fixture(scope="session")
def yesno(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of torchaudio with a YESNO of six short noises."""
    import numpy as np
    import soundfile

    folder = tmp_path_factory.mktemp("torchaudio")
    (place := folder / "waves_yesno").mkdir()
    draw = np.random.default_rng(0)
    for number in range(6):
        soundfile.write(place / f"{'_'.join(f'{number:08b}')}.wav", draw.normal(0, 0.1, 3000), 8000)
    return folder


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of torchvision with a FashionMNIST of twenty random pictures and ten held-out ones."""
    folder = tmp_path_factory.mktemp("torchvision")
    (raw := folder / "FashionMNIST" / "raw").mkdir(parents=True)
    draw = random.Random(0)
    for name, count in (("train", 20), ("t10k", 10)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + draw.randbytes(count * 784)
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(number % 10 for number in range(count))
        (raw / f"{name}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    return folder


SMALL_IMAGE = (
    "modality=image",
    "modality.size=16",
    "data.items=40",
    "model.network.width=16",
    "model.network.blocks=1",
    "model.prompt.width=16",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for images; an epoch is shorter than the runs of the tests."""


SMALL_GAN = (
    "model=gan",
    "modality.size=16",
    "data.items=40",
    "model.generator.width=8",
    "model.generator.blocks=1",
    "model.discriminator.width=8",
    "model.prompt.width=16",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for images, with two networks."""


SMALL_UPSCALE = (
    "modality=image",
    "model=upscale",
    "modality.size=16",
    "data.items=40",
    "model.network.width=8",
    "model.network.blocks=1",
    "val_items=4",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for a model that enlarges images from 8 to 16 pixels."""


SMALL_AUDIO = (
    "modality=audio",
    "data.items=30",
    "model.network.layers=2",
    "model.network.residual=8",
    "model.network.gate=8",
    "model.network.skip=8",
    "model.network.frame=16",
    "val_items=2",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for sounds."""


SMALL_VIDEO = (
    "modality=video",
    "modality.size=16",
    "data.items=40",
    "model.network.width=8",
    "model.network.layout=2",
    "model.prompt.width=16",
    "val_items=4",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for clips."""


SMALL_SOUNDTRACK = ("data=world_soundtrack", *SMALL_AUDIO, "preview_every=3")
"""The same for soundtracks of clips."""


SMALL_ENHANCER = (
    "modality=audio",
    "model=enhancer",
    "data=audio_folder",
    *(f"model.network.network.{width}=8" for width in ("residual", "gate", "skip")),
    "val_items=2",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for cleaning sounds; ``data.path=`` comes from a fixture."""
SMALL_SPEECH = (
    "modality=audio",
    "model=tts",
    "data=audio_folder",
    "modality.phones=letters",
    "model.network.width=8",
    "val_items=2",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for reading aloud; ``data.path=`` comes from a fixture."""
SMALL_VOCODER = (
    "modality=audio",
    "model=vocoder",
    "data=audio_folder",
    "modality.crop=16",
    "model.network.width=8",
    "val_items=2",
    *SMALL[SMALL.index("batch=4") :],
)
"""The same for a vocoder; ``data.path=`` comes from a fixture."""
SMALL_LLAMA = (
    *(word for word in SMALL if not any(name in word for name in ("tokenizer", "vocab_size", "ngram_rows"))),
    "model=llama", "modality.vocab_size=300", "model.network.hidden=32",
)  # fmt: skip
"""The same for a model that transformers has, too."""
FEW_STEPS = "model.sampling.steps=3"
"""Of the sampler, for previews as well; others than those that tests ask for."""
WORDS = {
    "text": (*SMALL, "data.path={corpus}"),
    "infill": (*SMALL, "data.path={corpus}", "modality.block=32", "modality.infill=0.5"),
    "llama": (*SMALL_LLAMA, "data.path={corpus}"),
    "image": (*SMALL_IMAGE, FEW_STEPS),
    "shortcut": (*SMALL_IMAGE, FEW_STEPS, "model.shortcut=true"),
    "gan": SMALL_GAN,
    "autoencoder": (
        *(word for word in SMALL_IMAGE if not word.startswith("model.prompt")),
        *("model=autoencoder", "model.network.width=8"),
    ),
    "upscale": SMALL_UPSCALE,
    "audio": SMALL_AUDIO,
    "enhancer": (*SMALL_ENHANCER, "data.path={sounds}"),
    "soundtrack": SMALL_SOUNDTRACK,
    "speech": (*SMALL_SPEECH, "data.path={voices}"),
    "vocoder": (*SMALL_VOCODER, "data.path={voices}"),
    "video": (*SMALL_VIDEO, FEW_STEPS),
}
"""The words that train each kind of model, with the fixtures of their data."""


@pytest.fixture(scope="session")
def trained(shared: Path, corpus: Path, sounds: Path, voices: Path) -> Callable[[str], Path]:
    """``trained("image")``: the folder of a run of six steps of a kind in ``WORDS``, trained once a session.

    A test that changes it works on ``copy_run(trained("image"), runs)``.
    """

    def folder(kind: str) -> Path:
        import genai
        from genai.runs.run import all_runs

        root = shared / "trained" / kind
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(shared / "trained" / f"{kind}.lock"):
            if not (root / "done").exists():
                genai.fit(
                    *(w.format(corpus=corpus, sounds=sounds, voices=voices) for w in WORDS[kind]),
                    f"runs={root}",
                    "steps=6",
                )
                (root / "done").touch()
        return next(all_runs(root)).folder

    return folder


def copy_run(run: Path, runs: Path, started: str = "12:00:00") -> Path:
    """Copy the folder of a run below ``runs``, as if it had started and ended on a day long ago at ``started``."""
    from genai.runs.run import Run

    name = f"{started.replace(':', '-')}-{run.name.split('-', 3)[3]}"
    copy = Path(shutil.copytree(run, runs / "2026-01-30" / name))
    Run(copy).write_record(started=f"2026-01-30T{started}", finished=f"2026-01-30T{started}")
    return copy


@pytest.fixture(params=["text", "image", "gan", "audio", "video"])
def each(request: pytest.FixtureRequest, corpus: Path, voices: Path, tmp_path: Path) -> list[str]:
    """``small``, for each modality in turn, and for a model with two networks."""
    return [*(word.format(corpus=corpus, voices=voices) for word in WORDS[request.param]), f"runs={tmp_path / 'runs'}"]


@pytest.fixture
def small(corpus: Path, tmp_path: Path) -> list[str]:
    """``SMALL`` with data and a folder for runs."""
    return [*SMALL, f"data.path={corpus}", f"runs={tmp_path / 'runs'}"]


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``command``, within this process: it need not import everything anew."""

    def run(name: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [f"genai.{name}", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n"))
        code: object = 0
        capfd.readouterr()  # what fixtures have printed
        try:
            importlib.import_module(f"genai.commands.{name}").main()
        except SystemExit as ended:
            code = ended.code or 0
        captured = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, captured.out, captured.err)  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``python -m genai.<name> words...`` as a person would: ``command("train", "steps=2", cwd=folder)``."""

    def run(name: str, *words: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **kwargs.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [sys.executable, "-m", f"genai.{name}", *words],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
            **kwargs,
        )

    return run


# ----------------------------------------------------------------------------------------------- what is left out

LEFT_OUT = pytest.StashKey[Counter[str]]()
MARKERS = {"slow": "make test-all", "peers": "make test-peers", "system": "make test-peers"}
"""Each marker with the command that runs its tests."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = Counter()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    result = yield
    gc.freeze()  # the millions of objects of imported libraries need not be looked through again and again
    gc.set_threshold(10_000, 15, 15)  # of the default, a twentieth of all the time is spent in collections
    gc.enable()
    return result


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[LEFT_OUT].update(name for name in MARKERS if item.get_closest_marker(name))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("system"):
        if not any(map(shutil.which, mark.args)):
            pytest.skip(f"{mark.args[0]} is not installed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if output := getattr(session.config, "workeroutput", None):  # this is a process of pytest-xdist
        output["left_out"] = dict(session.config.stash[LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    node.config.stash[LEFT_OUT] |= Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for name, count in config.stash[LEFT_OUT].items():
        terminalreporter.write_line(f"left out: {count} tests marked {name} ({MARKERS[name]} runs them)")
    for report in terminalreporter.stats.get("skipped", []):
        if (reason := str(report.longrepr[2])).endswith("is not installed"):
            terminalreporter.write_line(f"not run: {report.nodeid} ({reason.removeprefix('Skipped: ')})")

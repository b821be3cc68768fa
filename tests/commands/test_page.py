"""The page of the newest runs: all that it shows is on it, and nothing that is shown can do anything."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import genai
from genai.media.clip import Clip
from genai.media.data_url import file_data_url
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document
from tests.conftest import copy_run

Command = Callable[..., subprocess.CompletedProcess[str]]
OPTIONS = {"text": "length=5", "image": "steps=2", "audio": "seconds=0.05", "video": "steps=2", "gan": "truncation=0.9"}
HOSTILE = "</figcaption><script>alert('é')</script> & <img src=https://a.b/c.png>"


class Reader(HTMLParser):
    """What a browser would make of a page: its elements, the addresses that they name, and what is read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action")]
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Reader:
    page = path.read_text()
    reader = Reader(page)
    assert not {"script", "link", "iframe", "object", "base"} & {*reader.tags}
    assert all(address.startswith(("data:", "#")) for address in reader.addresses)
    assert not re.search(r"url\(|@import|https?://", page.replace(escape(HOSTILE), ""))
    assert "default-src 'none'" in page
    return reader


@pytest.mark.parametrize("kind", ["text", "image", "gan", "audio", "video"])
def test_each_modality_is_shown(kind: str, trained: Callable[[str], Path], tmp_path: Path, inside: Command) -> None:
    count = 3
    model = genai.load(copy_run(trained(kind), tmp_path / "runs"))
    asked = OPTIONS.get(model.record["model"]) or OPTIONS[model.record["modality"]]
    process = inside("sample", "prompt=a ", f"n={count}", asked, "out=samples/here", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    for recipe in sorted((tmp_path / "samples" / "here").glob("*.json"))[1:]:
        recipe.write_text(recipe.read_text().replace('"prompt": "a "', f'"prompt": {json.dumps(HOSTILE)}'))
    done = inside("page", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"page in {(tmp_path / 'page.html').as_uri()}"
    page = read(tmp_path / "page.html")
    assert page.text.count(HOSTILE) == count - 1
    assert page.tags.count("figure") == count + 1  # and the curves
    for file in (tmp_path / "samples" / "here").glob("[0-9]*"):
        if file.suffix == ".txt":
            assert file.read_text() in page.text
        elif file.suffix not in (".json", ".c2pa"):
            assert file_data_url(file) in page.addresses
    record = model.record
    for shown in (
        f"{record['parameters']:,}",
        f"{record['best']['val_loss']:.4f}",
        record["data"]["description"].rpartition("/")[2],
    ):
        assert shown in page.text
    assert str(Path(*tmp_path.parts[:3])) not in page.text
    assert "polyline" in page.tags
    more = re.search(r"python -m genai\.(sample .*)", page.text)
    assert more and "prompt='a '" in more[1] and f"seed={count}" in more[1] and asked in more[1]
    done = inside(*shlex.split(more[1]), "out=samples/more", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, again = (json.loads((tmp_path / "samples" / name / "000.json").read_text()) for name in ("here", "more"))
    assert (again["prompt"], again["seed"], again["options"]) == ("a ", count, first["options"])


def test_the_command_for_more_has_all_that_differs_from_the_defaults(
    trained: Callable[[str], Path], tmp_path: Path, inside: Command
) -> None:
    copy_run(trained("text"), tmp_path / "runs")
    words = ['prompt=["a"]', "stop=\n", "temperature=0.5", "length=3", "weights=raw", "top_k=5"]
    done = inside("sample", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    inside("page", cwd=tmp_path)
    more = re.search(r"python -m genai\.sample (.*)", read(tmp_path / "page.html").text)
    assert more
    found = dict(word.partition("=")[::2] for word in shlex.split(more[1]))
    assert found.pop("ckpt").startswith("runs/2026-01-30/")
    assert found == {
        "prompt": "a", "stop": '["\\n"]', "temperature": "0.5", "length": "3", "top_k": "5", "weights": "raw",
        "seed": "1", "n": "4",
    }  # fmt: skip


@pytest.mark.parametrize("is_inside", [True, False])
def test_an_edit_is_shown_beside_what_it_was_made_from(
    is_inside: bool, trained: Callable[[str], Path], tmp_path: Path, inside: Command
) -> None:
    copy_run(trained("image"), tmp_path / "runs")
    folder = tmp_path / "samples" / "inputs" if is_inside else tmp_path / "mine"
    folder.mkdir(parents=True)
    for name, level in (("photo.png", 99), ("mask.png", 255)):
        (folder / name).write_bytes(Picture(np.full((16, 16, 3), level, np.uint8)).to_bytes())
    words = [f"init={folder / 'photo.png'}", f"mask={folder / 'mask.png'}", "steps=2", "n=2"]
    done = inside("sample", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert inside("page", cwd=tmp_path).returncode == 0
    page = read(tmp_path / "page.html")
    assert page.tags.count("figure") == 2 + 1 + 2 * is_inside  # samples, curves, inputs
    assert (file_data_url(folder / "photo.png") in page.addresses) == is_inside
    assert "init=photo.png, mask=mask.png" in page.text and str(tmp_path) not in page.text
    assert f"init={folder.relative_to(tmp_path)}/photo.png" in page.text


def test_a_link_among_the_samples_shows_no_file_from_elsewhere(
    trained: Callable[[str], Path], tmp_path: Path, inside: Command
) -> None:
    copy_run(trained("image"), tmp_path / "runs")
    (tmp_path / "secret.png").write_bytes(Picture(np.full((16, 16, 3), 99, np.uint8)).to_bytes())
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "photo.png").symlink_to(tmp_path / "secret.png")
    assert inside("sample", "init=samples/photo.png", "steps=2", cwd=tmp_path).returncode == 0
    assert inside("page", cwd=tmp_path).returncode == 0
    assert read(tmp_path / "page.html").tags.count("figure") == 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: Callable[[str], Path]) -> Path:
    """A folder with a run of text, two folders of its samples, the second newer, and samples of something else."""
    folder = tmp_path_factory.mktemp("place")
    model = genai.load(copy_run(trained("text"), folder / "runs"))
    assert model.file
    recipe = {
        "options": {}, "checkpoint": str(model.file), "checkpoint_sha256": model.digest, "weights": "ema",
        "batch": [{"prompt": "p", "seed": 0}], "item": 0, "init": None, "files": {},
    }  # fmt: skip
    for age, (name, digest) in enumerate({"c": "other", "b": model.digest, "a": model.digest}.items()):
        (at := folder / "samples" / name).mkdir(parents=True)
        for number in range(30 if name == "b" else 1):
            (at / f"{number:03d}.json").write_text(json.dumps({**recipe, "checkpoint_sha256": digest}))
            (at / f"{number:03d}.txt").write_text(f"sample {number} of {name}")
            os.utime(at / f"{number:03d}.txt", (1e9 - age, 1e9 - age))
    return folder


def test_the_newest_samples_of_the_run_itself_the_first_of_many(place: Path, inside: Command, tmp_path: Path) -> None:
    done = inside("page", f"out={tmp_path / 'deep' / 'a.html'}", cwd=place)
    assert done.returncode == 0, done.stderr
    text = read(tmp_path / "deep" / "a.html").text
    assert "sample 0 of b" in text and "sample 23 of b" in text and "sample 24" not in text
    assert "0 of a" not in text and "0 of c" not in text
    assert "the first 24 of 30 in samples/b" in text


def test_runs_that_are_named(place: Path, inside: Command, tmp_path: Path) -> None:
    run = next((place / "runs").glob("*/*"))
    named = f"ckpt={json.dumps([str(run), str(run)])}"
    done = inside("page", named, "samples=samples/a", f"out={tmp_path / 'a.html'}", cwd=place)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "a.html").text.count("sample 0 of a") == 2


def test_a_run_without_samples_says_so(place: Path, inside: Command, tmp_path: Path) -> None:
    done = inside("page", "samples=samples/c", f"out={tmp_path / 'a.html'}", cwd=place)
    assert done.returncode == 0, done.stderr
    text = read(tmp_path / "a.html").text
    assert "This run has no samples yet" in text and "sample 0" not in text


def test_what_cannot_be_shown_is_passed_over_by_name(place: Path, inside: Command, tmp_path: Path) -> None:
    samples = shutil.copytree(place / "samples" / "a", tmp_path / "samples")
    (samples / "001.json").write_text("{}")
    (samples / "001.txt").write_text("no recipe")
    (samples / "002.json").write_text((samples / "000.json").read_text())
    (samples / "002.txt").write_bytes(b"\xff\xff no text")
    (samples / "003.json").write_text((samples / "000.json").read_text())
    done = inside("page", f"samples={samples}", f"out={tmp_path / 'a.html'}", cwd=place)
    assert done.returncode == 0
    assert "001.json is not the recipe" in done.stderr and "002.txt is not UTF-8" in done.stderr
    assert read(tmp_path / "a.html").tags.count("figure") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs=nowhere"], "no run with a checkpoint is in nowhere"),
        (["ckpt=runs/nope"], "runs/nope is not a run folder"),
        (["samples=nowhere"], "samples=nowhere: there is no such folder"),
        (["samples=null"], "samples=None: it should be"),
        (["out=runs"], "out=runs is a folder"),
        (["out=/dev/null/a.html"], "cannot create the folder"),
        (["outt=a.html"], "There is no option 'outt'. Did you mean 'out'"),
        (["modality=text"], "There is no option 'modality'"),
        (["--verbose"], "There is no flag --verbose"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(words: list[str], message: str, place: Path, inside: Command) -> None:
    before = sorted(place.rglob("*"))
    done = inside("page", *words, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"best": {"step": 1, "val_loss": 1e300}, "steps": 10**30, "parameters": None, "overrides": [3]}, ""),
     ({"seconds": "long"}, "record.json (seconds='long': it should be a number"),
     ({"best": 5}, "record.json (best=5"),
     ({"modality": "smell"}, "has an unknown modality smell"),
     ({"model": HOSTILE, "device": HOSTILE, "data": {"description": HOSTILE}}, "")],
)  # fmt: skip
def test_the_record_of_a_stranger(
    changes: dict[str, object], message: str, place: Path, inside: Command, tmp_path: Path
) -> None:
    file = next((place / "runs").glob("*/*/record.json"))
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), **changes}))
    try:
        done = inside("page", f"out={tmp_path / 'a.html'}", cwd=place)
    finally:
        file.write_text(before)
    assert done.returncode == (2 if message else 0) and message in done.stderr
    assert message or read(tmp_path / "a.html")


def test_media_on_a_page(tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000, dtype=np.float32) / 9)
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    contents = {
        "a.txt": b"\n<b>bold</b>",
        "a.png": Picture(frames[0]).to_bytes(),
        "b.png": Picture(np.zeros((300, 400, 1), np.uint8)).to_bytes(),
        "a.wav": Sound(wave, 8000).to_bytes(),
        "a.ogg": Sound(wave, 8000).to_bytes(".ogg"),
        "a.webp": Clip(frames, 8).to_bytes(".webp"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert "\n\n&lt;b&gt;" in Document.on_page(tmp_path / "a.txt")  # HTML drops the first line break
    assert "pixelated" in Picture.on_page(tmp_path / "a.png") and "width='192'" in Picture.on_page(tmp_path / "a.png")
    assert "pixelated" not in Picture.on_page(tmp_path / "b.png")
    for name in ("a.wav", "a.ogg"):
        page = Sound.on_page(tmp_path / name)
        assert file_data_url(tmp_path / name) in page and Reader(page).tags == ["img", "audio"]
    assert Reader(Clip.on_page(tmp_path / "a.webp")).tags == ["img"]
    with pytest.raises(genai.core.errors.UserError, match=r"a\.txt cannot be shown on a page"):
        Clip.on_page(tmp_path / "a.txt")
    with pytest.raises(genai.core.errors.UserError, match=r"cannot read .*gone\.mp4"):
        Clip.on_page(tmp_path / "gone.mp4")


@pytest.mark.system("chromium", "chromium-browser", "google-chrome")
def test_chromium_shows_the_samples_and_runs_no_script(place: Path, inside: Command, tmp_path: Path) -> None:
    samples = shutil.copytree(place / "samples" / "a", tmp_path / "samples")
    recipe = json.loads((samples / "000.json").read_text())
    recipe["batch"][0]["prompt"] = "<script>document.title = 'changed'</script>"
    (samples / "000.json").write_text(json.dumps(recipe))
    page = tmp_path / "page.html"
    done = inside("page", f"samples={samples}", f"out={page}", cwd=place)
    assert done.returncode == 0, done.stderr
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")
    shown = subprocess.run([program, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    reader = Reader(shown.stdout)
    assert "sample 0 of a" in reader.text and "changed" in reader.text and "script" not in reader.tags
    title = re.search(r"<title>(.*?)</title>", shown.stdout)
    assert title and title[1] != "changed" and reader.tags.count("figure") == 2

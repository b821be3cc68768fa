"""scripts/emoji.py: splits, pictures and tables, with packages that the test makes. What it fetches needs a network."""

import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from genai.data.image_folder import ImageFolder
from genai.data.origin import data_license
from tests.conftest import ROOT


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


packages = _load("emoji_packages")
script = _load("emoji")
LABELS = ("red apple", "green apple", "man surfing", "woman surfing", "cat", "dog", "house", "tree", "car", "boat")
STYLES = ("noto", "twemoji", "openmoji", "fluent")


def _write_package(path: Path, files: dict[str, object]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, value in files.items():
            data = (value if isinstance(value, str) else json.dumps(value)).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packages.sha256(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a data set with packages of ten emoji, and a package that draws squares of the colors of SVGs."""
    folder = tmp_path / "emoji" / ".packages"
    folder.mkdir(parents=True)
    codes = [f"1F3{number:02X}" for number in range(len(LABELS))]
    rows = [
        {"label": label, "hexcode": code, "tags": label.split(), "group": 0, "subgroup": 0}
        for label, code in zip(LABELS, codes, strict=True)
    ]
    tones = {"label": "dark skin tone", "hexcode": "1F3FF", "group": 2, "subgroup": 0}
    names = {"groups": {"0": "things", "2": "component"}, "subgroups": {"0": "some"}}
    files = {"en/data.json": [*rows, tones], "meta/groups.json": names, "LICENSE": "MIT License of Miles"}
    labels = replace(packages.LABELS, sha256=_write_package(folder / packages.LABELS.file, files))
    vendors = []
    for number, vendor in enumerate(packages.VENDORS):
        icons = {f"icon{index}": {"body": f"{number} {index}"} for index in range(1, len(LABELS))}
        aliases = {"turned": {"parent": "icon1", "hFlip": True}}
        chars = {code.lower(): f"icon{index}" for index, code in enumerate(codes)} | {codes[0].lower(): "turned"}
        path = folder / vendor.package.file
        sha256 = _write_package(path, {"icons.json": {"icons": icons, "aliases": aliases}, "chars.json": chars})
        vendors.append(replace(vendor, package=replace(vendor.package, sha256=sha256)))
    for module in (packages, script):
        monkeypatch.setattr(module, "VENDORS", tuple(vendors))
        monkeypatch.setattr(module, "LABELS", labels)
    monkeypatch.setattr(script, "version", lambda _: "0.5.0")
    return folder.parent


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is drawn: a half of the picture has a color that is random, but always the same for an SVG."""
    calls = list[str]()

    def draw(svg_string: str, width: int, height: int) -> bytes:
        body = svg_string.partition(">")[2].removesuffix("</svg>")
        calls.append(body)
        if len(calls) == STOP:
            raise KeyboardInterrupt
        pixels = np.full((height, width, 3), 255, np.uint8)
        pixels[:, : width // 2] = np.random.default_rng([*map(int, body.split())]).integers(256, size=3)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    monkeypatch.setitem(sys.modules, "resvg_py", SimpleNamespace(svg_to_bytes=draw))
    return calls


STOP = 17
"""The drawing at which people stop it."""


def _rows(folder: Path) -> Iterator[dict[str, object]]:
    for side in ("train", "test"):
        for line in (folder / side / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
            yield {**json.loads(line), "side": side}


def test_a_build_that_is_stopped_goes_on(
    folder: Path, drawn: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    concepts = {"apple green": 0.01}  # the only family of which nothing is trained on
    monkeypatch.setattr(script, "fraction", lambda text: concepts.get(text.removeprefix("concept "), 0.2))
    with pytest.raises(SystemExit, match="stopped: start it again to go on"):
        script.main([str(folder), "--size", "16"])
    assert not (folder / "train").exists()
    script.main([str(folder), "--size", "16"])
    assert len(drawn) == 41 and drawn[:STOP].count(drawn[-1]) == 0
    assert "40 pictures of 10 emoji" in capsys.readouterr().out
    rows = [*_rows(folder)]
    assert len(rows) == 40 and {row["style"] for row in rows} == {*STYLES}
    assert {row["label"]: row["family"] for row in rows} == dict(zip(LABELS, (
        "apple red", "apple green", "surfing", "surfing", "cat", "dog", "house", "tree", "car", "boat"
    ), strict=True))  # fmt: skip
    splits = {(row["label"], row["style"]): row["split"] for row in rows}
    assert {splits["green apple", style] for style in STYLES} == {"new_concept"}
    assert [splits["cat", style] for style in STYLES] == ["other_drawing", "train", "train", "train"]
    assert all((row["side"] == "train") == (row["split"] == "train") for row in rows)
    first = next(row for row in rows if row["label"] == "red apple" and row["style"] == "fluent")
    assert first["text"] == "red apple, fluent" and first["keywords"] == ["red", "apple"] and first["code"] == "1F300"
    with Image.open(folder / "train" / str(first["file_name"])) as image:  # turned: white on the left
        assert image.size == (16, 16) and image.getpixel((0, 0)) == (255, 255, 255) != image.getpixel((15, 0))

    script.main([str(folder), "--size", "16"])
    assert len(drawn) == 41  # nothing is drawn twice
    script.main([str(folder), "--size", "8"])
    assert len(drawn) == 81  # unless in another size
    assert not (folder / ".drawn").exists()


def test_the_data_source_reads_what_was_built(folder: Path, drawn: list[str]) -> None:
    drawn += [""] * STOP  # nobody stops it
    line, *_ = script.build(folder, 16)
    assert line.startswith("40 pictures")
    source = ImageFolder(str(folder))
    assert len(source.train) + len(source.val) == 40 and not source.skipped
    assert data_license(source) == "apache-2.0, cc-by-4.0, cc-by-sa-4.0, mit"
    licenses = (folder / "LICENSES.md").read_text(encoding="utf-8")
    assert all(f"- **{style}**: " in licenses for style in STYLES) and "MIT License of Miles" in licenses


def test_look_alikes_are_trained_on_and_make_their_concept_known() -> None:
    def drawing(style: str, split: str, brightness: int, code: str = "1") -> object:
        row = {"family": "cat", "code": code}
        return script.Drawing(style, "", False, row, split, np.full(192, brightness, np.uint8))

    other = script.Drawing("noto", "", False, {"family": "dog", "code": "9"}, "train", np.full(192, 7, np.uint8))
    cats = [
        drawing("noto", "new_concept", 10),
        drawing("fluent", "new_concept", 99),
        drawing("noto", "new_concept", 88, "2"),
    ]
    assert script.move_near_copies([other, *cats]) == 1
    assert [cat.split for cat in cats] == ["train", "other_drawing", "train"]


def test_families_have_no_gender_number_and_time() -> None:
    assert script.family("man surfing: dark skin tone", "people", "person-sport") == "surfing"
    assert (
        script.family("five o’clock", "travel", "time") == script.family("six-thirty", "travel", "time") == "clock face"
    )
    assert script.family("keycap: 5", "symbols", "keycap") == "keycap"
    assert script.family("flag: Spain", "flags", "country-flag") == "flag flag: Spain"
    assert script.family("O button (blood type)", "symbols", "alphanum") != script.family(
        "B button", "symbols", "alphanum"
    )


def test_a_package_of_another_content_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def npm(words: list[str], cwd: str, **_: object) -> SimpleNamespace:
        calls.append(words)
        assert Path(cwd, words[words.index("--pack-destination") + 1]).is_dir()
        Path(words[words.index("--pack-destination") + 1], packages.LABELS.file).write_bytes(b"another")
        return SimpleNamespace(returncode=0, stderr="", stdout="")

    monkeypatch.setattr(packages.shutil, "which", lambda _: "/bin/npm")
    monkeypatch.setattr(subprocess, "run", npm)
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path("emoji")):
        with pytest.raises(
            SystemExit, match=r"emojibase-data@17.0.0 has the sha256 \w{64}, not d01d0e2c.*: it is not used"
        ):
            packages.Packages(folder).fetch([packages.LABELS])
        assert "--ignore-scripts" in calls[-1] and not (folder / packages.LABELS.file).exists()

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr="no route", stdout=""))
    with pytest.raises(SystemExit, match=r"npm could not fetch emojibase-data@17.0.0: no route"):
        packages.Packages(tmp_path).fetch([packages.LABELS])


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda _: None)
    with pytest.raises(
        SystemExit, match=r"npm is missing.*: install Node.js, or put the file emojibase-data-17.0.0.tgz into"
    ):
        packages.Packages(tmp_path).fetch([packages.LABELS])
    monkeypatch.setattr(script, "version", lambda _: "0.4.0")
    with pytest.raises(SystemExit, match=r"0.4.0 is installed: pip install resvg-py==0.5.0"):
        script.main([str(tmp_path)])
    with pytest.raises(SystemExit):
        script.main([str(tmp_path), "--size", "4"])

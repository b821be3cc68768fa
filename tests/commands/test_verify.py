"""``python -m genai verify`` and ``genai.provenance``: what is printed, and the exit code."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import genai
from genai.trust.certificates import read_signer
from genai.trust.embed import add_label
from tests.trust.conftest import LABEL, make_file

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A signed file, one with metadata alone, one without anything, and one that was changed."""
    _, content = make_file(".png")
    signed = add_label(content, ".png", LABEL, read_signer())[".png"]
    place = signed.index(content[len(content) // 2 :][:12])
    changed = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
    plain = add_label(content, ".png", LABEL, None)[".png"]
    for name, data in {"signed": signed, "plain": plain, "nothing": content, "changed": changed}.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "code"),
    [(["signed"], 0), (["nothing"], 3), (["changed"], 4), (["plain"], 5), (["signed", "plain", "nothing"], 3)],
)
def test_the_exit_code(inside: Command, place: Path, names: list[str], code: int) -> None:
    done = inside("verify", *(f"{name}.png" for name in names), cwd=place)
    assert done.returncode == code and len(done.stdout.splitlines()) == len(names)


def test_json_and_python_say_the_same(inside: Command, place: Path) -> None:
    (entry,) = json.loads(inside("verify", "signed.png", "json=true", cwd=place).stdout)
    assert entry == genai.provenance("signed.png").entries and entry["status"] == "verified"


def test_a_run_is_known_by_its_checkpoint(inside: Command, trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = trained("text")
    assert inside("sample", f"ckpt={run}", "length=3", "out=a", "device=cpu", cwd=tmp_path).returncode == 0
    done = inside("verify", "a/000.txt", f"runs={run.parent}", cwd=tmp_path)
    assert done.returncode == 0 and f"that of {run}" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the files"),
        (["x.png"], "cannot read x.png"),
        (["signed.png", "json=yes"], "json=yes: it should be"),
        (["signed.png", "jsn=true"], "There is no option or file 'jsn=true'. Did you mean 'json'?"),
    ],
)
def test_mistakes(inside: Command, place: Path, words: list[str], message: str) -> None:
    done = inside("verify", *words, cwd=place)
    assert done.returncode == 2 and message in done.stderr


def test_watermarks(
    inside: Command, trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("text")
    for name, digit in (("one", "1"), ("two", "2")):
        (tmp_path / f"{name}.key").write_text(digit * 64, encoding="utf-8")
    monkeypatch.setenv("GENAI_WATERMARK_KEY", "one.key")
    words = ("sample", f"ckpt={run}", "device=cpu", "label=false", "length=250", "regex=[A-Z]{250}")
    made = inside(*words, "watermark=true", "out=with", cwd=tmp_path)
    assert made.returncode == 0 and "the watermark can be read in 1 of 1 samples" in made.stderr
    assert inside(*words, "out=without", cwd=tmp_path).returncode == 0
    recipe = json.loads((tmp_path / "with" / "000.json").read_text(encoding="utf-8"))
    assert recipe["options"]["watermark"] and len(recipe["watermark_key"]) == 16

    found = inside("verify", "with/000.txt", f"runs={run.parent}", cwd=tmp_path)
    assert found.returncode == 5 and f"the watermark of the key {recipe['watermark_key']}" in found.stdout
    assert inside("verify", "with/000.txt", f"ckpt={run}", cwd=tmp_path).stdout == found.stdout
    missing = inside("verify", "without/000.txt", f"runs={run.parent}", "json=true", cwd=tmp_path)
    assert missing.returncode == 3 and json.loads(missing.stdout)[0]["watermark"]["p"] > 1e-5
    wrong = inside("verify", "with/000.txt", f"ckpt={trained('image')}", cwd=tmp_path)
    assert wrong.returncode == 2 and "a model of image has no tokenizer" in wrong.stderr

    assert inside("sample", "from=with/000.json", "out=again", "label=false", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again" / "000.txt").read_bytes() == (tmp_path / "with" / "000.txt").read_bytes()
    monkeypatch.setenv("GENAI_WATERMARK_KEY", "two.key")
    assert inside("verify", "with/000.txt", f"runs={run.parent}", cwd=tmp_path).returncode == 3
    other = inside("sample", "from=with/000.json", "out=other", cwd=tmp_path)
    assert (
        other.returncode == 2 and f"with the watermark key {recipe['watermark_key']}, and the one here" in other.stderr
    )


def test_small_pictures_hold_no_watermark(inside: Command, trained: Callable[[str], Path], tmp_path: Path) -> None:
    done = inside("sample", f"ckpt={trained('image')}", "watermark=true", "out=a", "device=cpu", cwd=tmp_path)
    assert done.returncode == 2 and "watermark=true: pictures below 256 x 256 pixels hold none" in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_file_that_cannot_be_read_does_not_hide_the_others(inside: Command, place: Path) -> None:
    done = inside("verify", "signed.png", "x.png", "changed.png", cwd=place)
    assert done.returncode == 2 and "cannot read x.png" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["verified", "tampered"]


def test_it_is_said_if_no_watermark_was_searched_for(
    inside: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a.txt").write_text("a text")
    monkeypatch.setenv("GENAI_WATERMARK_KEY", "nothing.key")
    done = inside("verify", "signed.png", cwd=place)
    assert done.returncode == 0 and "(no watermark was searched for: GENAI_WATERMARK_KEY=nothing.key" in done.stdout
    (place / "nothing.key").write_text("1" * 64)
    assert "no model of texts is known here" in inside("verify", "a.txt", "runs=none", cwd=place).stdout
    assert "searched" not in inside("verify", "signed.png", cwd=place).stdout


def test_a_folder_stands_for_its_files(inside: Command, place: Path) -> None:
    for name in ("signed.json", "signed.c2pa", ".hidden.png"):
        (place / name).write_text("{}")
    (place / "more").mkdir()
    (place / "more" / "deeper.png").write_bytes(b"x")
    (place / "link.png").symlink_to(place / "signed.png")
    lines = inside("verify", str(place), cwd=place).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["tampered", "no", "unsigned", "verified"]
    done = inside("verify", "signed.png", "more", "json=true", cwd=place)
    assert [Path(entry["file"]).name for entry in json.loads(done.stdout)] == ["signed.png", "deeper.png"]


def test_a_folder_without_files_or_with_too_many_is_named(
    inside: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "empty").mkdir()
    done = inside("verify", "empty", cwd=place)
    assert done.returncode == 2 and "empty has no files but recipes" in done.stderr
    monkeypatch.setattr("genai.commands.verify.MAX_FILES", 3)
    done = inside("verify", ".", cwd=place)
    assert done.returncode == 2 and "has 4 files; of a folder, 3 are read" in done.stderr


def test_a_text_without_its_label_gets_a_hint(inside: Command, tmp_path: Path) -> None:
    for name, content in add_label(b"a text", ".txt", LABEL, read_signer()).items():
        (tmp_path / f"a{name}").write_bytes(content)
    assert ".c2pa of the same name" not in inside("verify", "a.txt", cwd=tmp_path).stdout
    (tmp_path / "a.c2pa").unlink()
    done = inside("verify", "a.txt", cwd=tmp_path)
    assert done.returncode == 3 and "Its label would be a .c2pa of the same name beside it" in done.stdout

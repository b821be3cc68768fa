"""Exported folders of strangers: refused by name, before anything of them is used, and nothing is written."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genai.cli.compose import compose
from genai.commands.export import export
from genai.commands.page import page
from genai.exchange.package import read_package
from genai.inference.model import load
from tests.hostile.attempts import NO_FILES, attempt, replace
from tests.hostile.checkpoints import assert_refused

Trained = Callable[[str], Path]
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "good"
    export(compose("export", [f"ckpt={trained('llama')}", f"out={folder}", "format=genai"]))
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


def update_manifest(folder: Path) -> None:
    """Write the manifest that a stranger would write, who wants the changed files to be read."""
    values = json.loads((folder / "manifest.json").read_text())
    for name in values["files"]:
        content = (folder / name).read_bytes()
        values["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(values))


def put(name: str, value: Any, *keys: str) -> Change:
    """Set one value of a JSON file."""

    def change(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        inner = values
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / name).write_text(json.dumps(values))

    return change


def tensor(name: str, value: torch.Tensor | None) -> Change:
    """Set one tensor of the weights, or remove it."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors") | ({} if value is None else {name: value})
        kept = {key: part.clone() for key, part in tensors.items() if key != name or value is not None}
        save_file(kept, folder / "model.safetensors")

    return change


def write(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def append(name: str) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + b" ")


def flip(name: str) -> Change:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-3] ^= 1
        (folder / name).write_bytes(bytes(content))

    return change


def link(name: str) -> Change:
    def change(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


NAMES = ("README.md", "config.json", "tokenizer.json", "model.safetensors")
MANIFEST = "manifest.json"
CHANGED: dict[str, tuple[Change, str]] = {
    **{f"a longer {name}": (append(name), rf"{name} was changed: it has [\d,]+ bytes") for name in NAMES},
    **{f"another {name}": (flip(name), f"{name} was changed: its content") for name in NAMES},
    **{f"no {name}": (lambda folder, name=name: (folder / name).unlink(), f"has no {name}") for name in NAMES},  # type: ignore[misc]
    **{f"a link for {name}": (link(name), f"{name} is a link") for name in (*NAMES, MANIFEST)},
    "a link within": (
        lambda folder: ((folder / "README.md").unlink(), (folder / "README.md").symlink_to("config.json")),
        r"README\.md is a link",
    ),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), r"manifest\.json"),
    "a pickle": (write("pytorch_model.bin", b"cos\nsystem\n."), "holds 'pytorch_model.bin', which manifest.json"),
    "a folder": (lambda folder: (folder / "more").mkdir(), "holds 'more', which"),
    "many files": (lambda folder: [(folder / f"{n}.txt").touch() for n in range(200)], "more than 100 files"),
    "a path": (put(MANIFEST, {"size": 1, "sha256": ""}, "files", "../secret"), r"names '\.\./secret'; it may name"),
    "a root": (put(MANIFEST, {"size": 1, "sha256": ""}, "files", "/etc/passwd"), "names '/etc/passwd'; it may name"),
    "a strange name": (put(MANIFEST, {"size": 1, "sha256": ""}, "files", "a\x1b[2J\n.pkl"), "it may name"),
    "a size that is none": (put(MANIFEST, -1, "files", "README.md", "size"), r"README\.md\.size=-1"),
    "a size that is text": (put(MANIFEST, "1", "files", "README.md", "size"), r"README\.md\.size='1'"),
    "a hash that is none": (put(MANIFEST, None, "files", "README.md", "sha256"), r"README\.md\.sha256=None"),
    "an entry that is none": (put(MANIFEST, [], "files", "README.md"), "'README.md' has no size and sha256"),
    "files that are none": (put(MANIFEST, [], "files"), "is no manifest of format 1"),
    "another format": (put(MANIFEST, 2, "format"), "is no manifest of format 1"),
    "a deep manifest": (
        write(MANIFEST, b'{"library_name": "genai", "files": ' + b"[" * 99 + b"]" * 99 + b"}"),
        "levels",
    ),
    "a manifest of noise": (write(MANIFEST, bytes(range(128, 256))), r"manifest\.json"),
}
"""Changes that the manifest gives away, and the message."""


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege")
@pytest.mark.parametrize("kind", CHANGED)
def test_what_the_manifest_does_not_say_is_refused_by_name(kind: str, folder: Path) -> None:
    change, message = CHANGED[kind]
    change(folder)
    assert_refused(lambda: load(folder), message, folder)
    assert_refused(lambda: page(compose("page", [f"ckpt={folder}"])), message, folder)


@pytest.mark.parametrize("make", NO_FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", [*NAMES, MANIFEST])
def test_what_is_no_file_is_refused(
    name: str, make: Callable[[Path], None], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replace(folder / name, make)
    answer = attempt(lambda: load(folder), capfd)
    assert answer.code == 2


def test_names_are_compared_before_contents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "extra.bin").touch()
    monkeypatch.setattr("genai.exchange.manifest.file_hash", lambda path: pytest.fail("it is read"))
    assert_refused(lambda: load(folder), "holds 'extra.bin'", folder)


CONFIG = "config.json"
DESCRIBED: dict[str, tuple[Change, str]] = {
    "a class of another package": (put(CONFIG, "os.system", "model", "_target_"), "only classes of genai"),
    "a class of a plugin": (put(CONFIG, "tests.plugins.point_clouds.X", "modality", "_target_"), "only classes"),
    "a class that is no model": (put(CONFIG, "genai.core.files.new_folder", "model", "_target_"), "is not a Method"),
    "a huge network": (put(CONFIG, 60_000, "model", "network", "width"), "describes a model of"),
    "many layers": (put(CONFIG, 500, "model", "network", "layers"), "more than 5,000 tensors|fit|describes a model"),
    "another size": (put(CONFIG, 32, "model", "network", "width"), "fit|describes"),
    "no model": (put(CONFIG, None, "model"), "does not describe"),
    "no modality": (put(CONFIG, None, "modality"), "does not describe"),
    "a step that is none": (put(CONFIG, -1, "step"), "step=-1"),
    "a step that is text": (put(CONFIG, "6", "step"), "is not a checkpoint of genai"),
    "weights of another kind": (put(CONFIG, "pickle", "weights"), "weights='pickle'"),
    "ties that are none": (put(CONFIG, [1], "tied"), "tied"),
    "a tie too many": (put(CONFIG, {"ema_module.x": "ema_module.embedding.weight"}, "tied"), "which has no"),
    "another file": (put(CONFIG, {"$file": "/etc/passwd"}, "modality_state", "json"), "names '/etc/passwd'"),
    "two files": (put(CONFIG, {"$file": "README.md"}, "modality_state", "json"), "names 'README.md'"),
    "no such tensor": (put(CONFIG, {"$tensor": "x"}, "modality_state", "json"), "has no tensor 'x'"),
    "a tensor for a text": (
        put(CONFIG, {"$tensor": "ema_module.embedding.weight"}, "modality_state", "json"), "describe its modality",
    ),
    "a state of another kind": (put(CONFIG, [], "modality_state"), "describe its modality"),
    "a config of another kind": (write(CONFIG, b"[]"), r"config\.json holds a list"),
    "a deep config": (write(CONFIG, b'{"library_name":"genai","a":' + b"[" * 99 + b"]" * 99 + b"}"), "levels"),
    "another tokenizer": (write("tokenizer.json", b"{}"), "describe its modality"),
    "a tensor is missing": (tensor("ema_module.embedding.weight", None), "embedding.weight' is missing"),
    "a tensor too many": (tensor("ema_module.more", torch.zeros(2)), "which has no"),
    "a tensor of another part": (tensor("discriminator.weight", torch.zeros(2)), "which has no"),
    "another shape": (tensor("ema_module.embedding.weight", torch.zeros(2)), r"is \(2,\), not"),
    "whole numbers": (tensor("ema_module.norm.weight", torch.zeros(16, dtype=torch.int64)), "fit|not a checkpoint"),
    "bytes of another type": (
        tensor("ema_module.norm.weight", torch.zeros(16).to(torch.float8_e4m3fn)), "values of type F8_E4M3",
    ),
    "not finite": (tensor("ema_module.embedding.weight", torch.full((300, 16), torch.nan)), "not numbers|fit"),
    "half the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100]),
        r"model\.safetensors is damaged",
    ),
    "an endless header": (write("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"), "its header has"),
    "a long header": (write("model.safetensors", (9 * 2**20).to_bytes(8, "little")), "its header has"),
    "no weights": (write("model.safetensors", b""), "damaged"),
    "a pickle for weights": (write("model.safetensors", b"\x80\x02cos\nsystem\n(S'x'\ntR."), "its header has|damaged"),
    "many tensors": (
        lambda folder: save_file({f"t{n}": torch.zeros(1) for n in range(21_000)}, folder / "model.safetensors"),
        "holds 21,000 tensors",
    ),
}  # fmt: skip
"""Changes with a manifest that fits them, and the message."""


@pytest.mark.parametrize("kind", DESCRIBED)
def test_what_does_not_fit_is_refused_by_name(kind: str, folder: Path) -> None:
    change, message = DESCRIBED[kind]
    change(folder)
    update_manifest(folder)
    assert_refused(lambda: load(folder, device="cpu"), message, folder)


def test_a_record_of_a_stranger_is_no_record_of_a_run(folder: Path) -> None:
    record = {"started": "2026-01-01", "overrides": ["data.path=/etc"], "prompts": ["a"], "modality": "text"}
    put(CONFIG, record, "record")(folder)
    update_manifest(folder)
    model = load(folder, device="cpu")
    assert model.run is None and model.record == {"modality": "text", "prompts": ["a"]}


def test_a_folder_larger_than_the_memory_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.core.limits.memory_bytes", lambda: 10_000)
    monkeypatch.setattr("genai.exchange.manifest.file_hash", lambda path: pytest.fail("it is read"))
    assert_refused(lambda: read_package(folder), "of memory", folder)


def test_a_folder_that_says_it_is_an_adapter_is_a_whole_model(folder: Path) -> None:
    put("config.json", {"_target_": "genai.adapters.lora.LoRA"}, "adapter")(folder)
    put("config.json", {"path": "/etc/passwd"}, "base")(folder)
    update_manifest(folder)
    model = load(folder)
    assert model.header and model.header.adapter is None and model.header.base is None

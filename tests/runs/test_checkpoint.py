"""Files from strangers, damaged files, kills and full disks."""

import copy
import errno
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.cli.overrides import resolve_resume
from genai.core.errors import CorruptCheckpoint, RunError, UserError
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.modalities.base import Modality
from genai.runs import checkpoint as checkpoints
from genai.runs import zip_parts
from genai.runs.checkpoint import inspect_checkpoint, load_checkpoint, save_checkpoint
from genai.runs.run import Run
from tests.conftest import ROOT

GOOD: dict[str, Any] = {"genai": {"format": 1, "step": 1}, "state_dict": {"a": torch.arange(4000.0)}}


@pytest.fixture(scope="module")
def good(trained: Callable[[str], Path]) -> Path:
    """A real checkpoint."""
    return trained("text") / "checkpoints" / "best.ckpt"


class Shell:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/genai-was-here",)


Change = Callable[[dict[str, Any]], object]
Make = Callable[[Path, Path], object]
AUTOREGRESSIVE = "genai.methods.autoregressive.Autoregressive"
EMPTY = b"\x80\x02}."


def changed(change: Change) -> Make:
    """A good checkpoint after ``change``."""

    def make(good: Path, path: Path) -> None:
        state = torch.load(good, weights_only=True)
        change(state)
        torch.save(state, path)

    return make


def zipped(pickled: bytes, compression: int = zipfile.ZIP_STORED, **more: bytes) -> Make:
    """A torch file with ``pickled`` in it."""

    def make(good: Path, path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in {"data.pkl": pickled, "version": b"3\n", "byteorder": b"little", **more}.items():
                archive.writestr(f"archive/{name}", content)

    return make


def node(**values: Any) -> Change:
    """Other values for the network's node."""
    return lambda state: state["genai"]["model"]["network"].update(values)


def about(**values: Any) -> Change:
    return lambda state: state["genai"].update(values)


def text(value: str) -> bytes:
    """A string, pickled by hand."""
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def nested_nodes(count: int) -> bytes:
    """A checkpoint whose model is a method of a method of a method ..."""
    level = b"}(" + text("_target_") + text(AUTOREGRESSIVE) + text("network")
    head = b"\x80\x02}(" + text("state_dict") + b"}" + text("genai") + b"}("
    head += text("format") + b"K\x01" + text("step") + b"K\x01" + text("model")
    return head + level * count + b"N" + b"u" * count + b"uu."


def laughs(depth: int) -> list[Any]:
    """A short file, an endless text."""
    return reduce(lambda inner, _: [inner] * 10, range(depth), [])  # type: ignore[arg-type, return-value]


def over_one_number(state: dict[str, Any]) -> None:
    """A network of half a terabyte; its weights have the right shapes, and all are views of one number."""
    node(width=16_384, layers=64)(state)
    modality = instantiate(state["genai"]["modality"], Modality, "modality")  # type: ignore[type-abstract]
    modality.restore(state["genai"]["modality_state"])
    with torch.device("meta"):
        method = build_method(state["genai"]["model"], modality)
    one = torch.zeros(1)
    state["state_dict"] = {f"method.{name}": one.expand(x.shape) for name, x in method.state_dict().items()}


def many_blocks(state: dict[str, Any]) -> None:
    network = {"_target_": "genai.networks.unet.UNet", "shape": [3, 8, 8], "width": 1, "blocks": 16_384, "patch": 1}
    about(model={"_target_": AUTOREGRESSIVE, "network": network})(state)


def short_parts(good: Path, path: Path) -> None:
    """Tensors that are longer than what is there of them."""
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w") as short:
        for name in archive.namelist():
            short.writestr(name, archive.read(name)[: 16 if "/data/" in name else None])


def overlapping_parts(good: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", EMPTY)
        archive.writestr("archive/data/0", bytes(2**20))
        for number in range(1, 600):
            same = copy.copy(archive.getinfo("archive/data/0"))
            same.filename = f"archive/data/{number}"
            archive.filelist.append(same)


def false_size(good: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", EMPTY)
        archive.getinfo("archive/data.pkl").file_size = 2**31


def decoy(name: str) -> Make:
    """Two pickles, one of them harmless; torch takes DATA.PKL for data.pkl."""

    def make(good: Path, path: Path) -> None:
        with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w") as two:
            for part in archive.namelist():
                two.writestr(part.replace("data.pkl", "DATA.PKL"), archive.read(part))
            two.writestr(f"archive/{name}.pkl", EMPTY)

    return make


HOSTILE: dict[str, tuple[Make, str]] = {
    "code in a torch file": (changed(lambda state: state.update(x=Shell())), "it names 'posix.system'"),
    "code in a bare pickle": (lambda good, path: path.write_bytes(pickle.dumps(Shell())), "not a checkpoint"),
    "code in a legacy torch file": (
        lambda good, path: torch.save({"x": Shell()}, path, _use_new_zipfile_serialization=False),
        "not a checkpoint",
    ),
    "code by a newer opcode": (zipped(pickle.dumps(Shell(), protocol=4)), "the instruction FRAME, which can be code"),
    "code in a name of 10 MB": (zipped(b"\x80\x02cos\n" + b"x" * 10_000_000 + b"\n."), "which is code"),
    "a second pickle": (decoy("data"), "two parts have one name"),
    "a pickle by another name": (decoy("nothing"), "genai did not write it"),
    **{
        f"{target} as network": (changed(node(_target_=target)), rf"model.network: refused '{target}'")
        for target in (
            "os.system",
            "torch.load",
            "torch.hub.load",
            "genai.x.Path.write_text",
            "genai.inference.model.Path",
        )
    },
    **{
        f"{target} as modality": (changed(about(modality={"_target_": target})), rf"modality: refused '{target}'")
        for target in ("builtins.open", "genai.runs.run.Path", "genai.networks.gpt.GPT")
    },
    "a target of 2 MB": (changed(node(_target_="genai" + ".a\n" * 700_000)), r"model.network: refused 'genai.a\\n"),
    "a compressed bomb": (zipped(EMPTY, zipfile.ZIP_DEFLATED, **{"data/0": bytes(200 * 2**20)}), "zip bomb"),
    "overlapping parts": (overlapping_parts, "something follows its part|two descriptions that differ"),
    "a false size": (false_size, "zip bomb"),
    "a large pickle": (zipped(b"\x80\x02" + b"N0" * (25 * 2**20) + b"N."), "genai did not write it"),
    "many instructions": (zipped(b"\x80\x02" + b"N" * 3_000_000 + b"."), "more than 800,000 instructions"),
    "deep marks": (zipped(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."), "more than 32 levels"),
    "deep lists": (zipped(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."), "more than 32 levels"),
    "deep nodes": (zipped(nested_nodes(20_000)), "does not describe|refused"),
    "endless values": (changed(node(width=laughs(20))), "more than 200,000 values"),
    "a huge network": (changed(node(width=65_536, layers=512, heads=2)), "numbers in .* bytes"),
    "a huge network over one number": (changed(over_one_number), "bytes, in a file of .* bytes"),
    "a network of too many blocks": (changed(many_blocks), "more than 5,000 tensors"),
    "short parts": (short_parts, "damaged"),
    "a tokenizer of rubbish": (
        changed(about(modality_state={"kind": "bpe", "json": "{}", "vocab_size": 2048})),
        "is bpe, not characters",
    ),
    "a tokenizer of a number": (changed(about(modality_state=3)), "does not describe"),
    "no model": (changed(lambda state: state["genai"].pop("model")), "does not describe"),
    "no step": (changed(lambda state: state["genai"].pop("step")), "not a checkpoint"),
    "another format": (changed(about(format=99)), "has format 99"),
    "a format of many": (changed(about(format=torch.ones(3))), "has format"),
    "no weights": (changed(lambda state: state.update(state_dict={})), "do not fit"),
    "weights of text": (changed(lambda state: state.update(state_dict={"a": "b"})), "not named tensors"),
    "weights without names": (changed(lambda state: state.update(state_dict=[1])), "not a checkpoint"),
    "a wrong shape": (
        changed(lambda state: state["state_dict"].update({"method.ema_module.readout.weight": torch.zeros(3)})),
        "do not fit",
    ),
    "a text": (lambda good, path: path.write_text("hello"), "not a checkpoint"),
    "nothing": (lambda good, path: path.touch(), "it is empty"),
    "an endless device": (lambda good, path: path.symlink_to("/dev/zero"), "not a file"),
}

LOADER = """
import json, os, sys, time
from resource import RLIMIT_CPU, RUSAGE_SELF, getrusage, setrlimit
import genai.methods.autoregressive, genai.modalities.text, genai.networks.gpt, genai.networks.unet
from genai.core.errors import UserError
from genai.inference.model import load
megabytes = lambda: getrusage(RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 1024)
for line in sys.stdin:
    if (child := os.fork()) == 0:
        setrlimit(RLIMIT_CPU, (20, 20))
        before, began, said = megabytes(), time.process_time(), "loaded"
        try:
            load(line[:-1], device="cpu").sample("a", length=2)
        except UserError as mistake:
            said = str(mistake)
        except BaseException as error:
            said = f"crashed: {error!r}"
        said += "".join(f" {name}" for name in ("lightning", "hydra", "torch._dynamo") if name in sys.modules)
        print(json.dumps([said, time.process_time() - began, megabytes() - before]), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(json.dumps(["killed", 99, 99]), flush=True)
"""


@pytest.fixture(scope="module")
def loader() -> Iterator[subprocess.Popen[str]]:
    """Reads names of files and answers what loading each of them said, took and needed, each time in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOADER]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_by_name_quickly_and_in_little_memory(
    kind: str, good: Path, loader: subprocess.Popen[str], tmp_path: Path
) -> None:
    make, message = HOSTILE[kind]
    path = tmp_path / "hostile.ckpt"
    make(good, path)
    assert loader.stdin
    assert loader.stdout
    print(path, file=loader.stdin, flush=True)
    reply, seconds, megabytes = json.loads(loader.stdout.readline())
    assert reply.startswith(str(path))
    assert re.search(message, reply)
    assert len(reply) < 700
    assert len(reply.splitlines()) == 1
    assert seconds < 5
    assert megabytes < 200  # on top of torch, whose CUDA build takes half a gigabyte by itself
    assert not Path("/tmp/genai-was-here").exists()


def test_a_good_file_is_loaded_and_sampled_without_lightning_and_a_compiler(
    good: Path, loader: subprocess.Popen[str]
) -> None:
    assert loader.stdin
    assert loader.stdout
    print(good, file=loader.stdin, flush=True)
    assert json.loads(loader.stdout.readline())[0] == "loaded"


@pytest.mark.parametrize(
    "kind",
    ["code in a torch file", "a tokenizer of rubbish", "a tokenizer of a number", "no weights", "weights of text"],
)
def test_training_does_not_start_from_hostile_weights(kind: str, good: Path, small: list[str], tmp_path: Path) -> None:
    HOSTILE[kind][0](good, tmp_path / "hostile.ckpt")
    with pytest.raises(UserError, match=r"hostile\.ckpt"):
        genai.fit(*small, f"init_from={tmp_path / 'hostile.ckpt'}", "steps=1")
    assert not (tmp_path / "runs").exists()


def test_a_file_of_too_many_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_parts, "MAX_PARTS", 9)
    zipped(EMPTY, **{str(number): b"" for number in range(9)})(tmp_path, tmp_path / "many.ckpt")
    with pytest.raises(CorruptCheckpoint, match="12 parts"):
        inspect_checkpoint(tmp_path / "many.ckpt")


def test_a_strange_run_makes_hydra_build_nothing(good: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(good.parent.parent, run.folder)
    mkdir = f"{{_target_: os.mkdir, path: {tmp_path / 'was-here'}}}"
    hostile = tmp_path / "hostile.yaml"
    hostile.write_text(f"# @package _global_\nhydra: {{callbacks: {{x: {mkdir}}}}}\n")
    climbing = f"{'../' * 12}{hostile.with_suffix('').relative_to('/')}"
    values = ["optimizer.head_lr=0.008", "schedule.warmup=8", "schedule.cooldown=0.5", "modality.reserved=16"]
    expected = ["batch=2", "seed=3", *values, "steps=3"]
    for word in (
        f"+hydra.callbacks.x={mkdir}", f"hydra/callbacks@x={mkdir}", "--config-dir=x", "data@hydra.job=x", 3,
        f"data={climbing}", f"+experiment={climbing}", f"../x={climbing}", "plugins=[mine]", "plugins.x=mine",
        "data.download=true", "+data.download=true", "workers=900", "init_from=x",
    ):  # fmt: skip
        run.write_record(overrides=["batch=2", word, "seed=3"])
        assert resolve_resume(["resume=x", "steps=3"], str(run.folder))[0] == expected


def test_weights_that_are_not_numbers_are_refused(good: Path, tmp_path: Path) -> None:
    state = load_checkpoint(good)
    next(value for name, value in state["state_dict"].items() if name.startswith("ema.module")).view(-1)[0] = torch.nan
    torch.save(state, tmp_path / "nan.ckpt")
    with pytest.raises(CorruptCheckpoint, match="weights that are not numbers"):
        genai.load(tmp_path / "nan.ckpt")


def test_save_and_load_are_inverse(tmp_path: Path) -> None:
    digest = save_checkpoint(GOOD, tmp_path / "last.ckpt")
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(loaded["state_dict"]["a"], GOOD["state_dict"]["a"])
    assert loaded["genai"] == GOOD["genai"]
    assert (tmp_path / "last.ckpt.sha256").read_text() == f"{digest}  last.ckpt\n"


def test_one_flipped_bit_is_found_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(GOOD, path)
    content = path.read_bytes()
    draw = random.Random(0)
    for position in (0, len(content) - 1, *(draw.randrange(len(content)) for _ in range(20))):
        changed = bytearray(content)
        changed[position] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(CorruptCheckpoint, match=r"last\.ckpt is damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize("hash_bytes", [b"\xff\xfe", b"0" * 64, b"x"])
def test_a_damaged_hash_is_damage(hash_bytes: bytes, tmp_path: Path) -> None:
    save_checkpoint(GOOD, tmp_path / "last.ckpt")
    (tmp_path / "last.ckpt.sha256").write_bytes(hash_bytes)
    with pytest.raises(CorruptCheckpoint, match=r"last\.ckpt is damaged"):
        load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_passed_over_for_the_one_before(share: float, tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in (1, 2):
        save_checkpoint({**GOOD, "genai": {"format": 1, "step": step}}, run.last)
    content = run.last.read_bytes()
    run.last.write_bytes(content[: int(len(content) * share)])
    file, state, notes = run.load("last")
    assert (file.name, state["genai"]["step"], len(notes)) == ("previous.ckpt", 1, 1)
    assert "last.ckpt is damaged" in notes[0]
    save_checkpoint({**GOOD, "genai": {"format": 1, "step": 3}}, run.last)
    assert load_checkpoint(file)["genai"]["step"] == 1  # the damaged one has not taken its place
    run.last.write_bytes(b"")
    file.unlink()
    with pytest.raises(CorruptCheckpoint, match="no undamaged checkpoint"):
        run.load("last")


@pytest.mark.parametrize("kill_index", range(8))
def test_a_kill_at_any_rename_leaves_a_good_newest_checkpoint(
    kill_index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        save_checkpoint({**GOOD, "genai": {"format": 1, "step": step}}, path)
    renames = iter(range(100))
    original = os.replace

    def replace(source: Path, destination: Path) -> None:
        if next(renames) == kill_index:
            raise KeyboardInterrupt
        original(source, destination)

    monkeypatch.setattr(os, "replace", replace)
    try:
        save_checkpoint({**GOOD, "genai": {"format": 1, "step": 3}}, path)
    except KeyboardInterrupt:
        pass
    else:
        assert kill_index > 4  # so many renames there are
    monkeypatch.undo()
    assert load_checkpoint(path)["genai"]["step"] in (2, 3)
    assert load_checkpoint(tmp_path / "previous.ckpt")["genai"]["step"] in (1, 2)


def test_a_full_disk_names_path_and_bytes_and_keeps_the_old_file(good: Path, small: list[str], tmp_path: Path) -> None:
    path = tmp_path / "kept" / "last.ckpt"
    save_checkpoint(GOOD, path)
    before = path.read_bytes()
    code = (
        "import resource, sys, torch, genai; from pathlib import Path; "
        "from genai.core import errors; from genai.runs.checkpoint import save_checkpoint\n"
        "limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, 100_000))\n"
        "limit(100_000)\n"
        "try: save_checkpoint({'genai': {'format': 1}, 'state_dict': {'a': torch.rand(10**6)}}, Path(sys.argv[1]))\n"
        "except errors.RunError as failure: print(failure)\n"
        "limit(300)\n"
        "try: genai.fit(*sys.argv[2:], 'steps=1')\n"
        "except errors.RunError as failure: print(failure)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), *small],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert re.search(rf"cannot save {path}: File too large after [\d,]+ bytes", done.stdout), done.stderr
    assert path.read_bytes() == before
    assert sorted(item.name for item in path.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]
    assert re.search(rf"{tmp_path / 'runs'}/.*: File too large; [\d,]+ bytes are free", done.stdout), done.stderr
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("is_mapped", [True, False])
def test_where_a_mapped_file_cannot_be_replaced_it_is_read_into_memory(
    is_mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CAN_REPLACE_MAPPED_FILES", is_mapped)
    path = tmp_path / "last.ckpt"
    save_checkpoint(GOOD, path)
    weights = load_checkpoint(path)["state_dict"]["a"]
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert weights.equal(GOOD["state_dict"]["a"]) == (not is_mapped)


@pytest.mark.parametrize("missing", ["link", "fsync"])
def test_a_simple_file_system_keeps_the_previous_checkpoint_too(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EINVAL, "not supported")

    monkeypatch.setattr(os, missing, fail)
    for step in (1, 2):
        save_checkpoint({**GOOD, "genai": {"format": 1, "step": step}}, tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["genai"]["step"] == 2
    assert load_checkpoint(tmp_path / "previous.ckpt")["genai"]["step"] == 1
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot save"):
        save_checkpoint(GOOD, tmp_path / "file" / "last.ckpt")


def test_no_address_is_ever_opened() -> None:
    with pytest.raises(UserError, match="only local files can be loaded"):
        genai.load("http://localhost/a.ckpt")

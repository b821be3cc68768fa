"""Sizes that are allowed by their type and not by the machine: refused with an estimate, before anything is made."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.core import limits
from genai.core.errors import UserError
from genai.core.limits import check_batch, check_memory, check_processes, check_samples, memory_bytes
from genai.core.plain_data import MAX_DEPTH, MAX_VALUES, check_tree, parse_json, parse_yaml
from genai.data.chat import ChatFiles
from tests.hostile.attempts import attempt

Command = Callable[..., subprocess.CompletedProcess[str]]
Capture = pytest.CaptureFixture[str]
TRAIN = ("steps=1", "modality=text", "data=text_folder", "model.network.width=16", "model.network.layers=1")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.threads=100000", "cores; at most"),
        ("trainer.threads=1000000000000000000000000", "trainer.threads"),
        ("workers=1000", "cores; at most"),
        ("workers=1000000000", "cores; at most"),
        ("trainer.devices=100000", "devices"),
        ("batch=1000000000", "GiB of memory"),
        ("batch=100000000000000000000000", "batch"),
        ("seed=99999999999999999999", "seed"),
        ("modality.block=1000000000", "modality.block"),
        ("steps=1e400", "steps"),
        ("minutes=1e400", "minutes"),
        ("val_items=1e99", "val_items"),
        ("accumulate=1000000000", "accumulate"),
        ("optimizer.lr=nan", "optimizer.lr"),
        ("optimizer.lr=inf", "optimizer.lr"),
        ("grad_clip=nan", "grad_clip"),
        ("ema=nan", "ema"),
        ("minutes=nan", "minutes"),
    ],
)
def test_a_training_that_does_not_fit_is_refused(
    word: str, message: str, inside: Command, corpus: Path, tmp_path: Path
) -> None:
    words = [other for other in TRAIN if not (word.startswith("minutes") and other.startswith("steps"))]
    done = inside("train", *words, f"data.path={corpus}", word, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") <= 2, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("n=100000000",), "add yes=true"),
        (("n=10001",), "10,001 samples, more than 10,000"),
        (("n=99999999999999999999999",), "add yes=true"),
        (("n=9999999999999", "yes=true"), "GiB of memory"),
        (("n=5001", 'prompt=["a", "b"]'), "10,002 samples"),
        (("length=100000000",), "length"),
        (("seed=1e30",), "seed"),
        (("batch=0",), "batch"),
        (("n=0",), "n"),
        (("n=-1",), "n"),
        (("temperature=nan",), "temperature"),
        (("temperature=inf",), "temperature"),
        (("top_p=nan",), "top_p"),
        (("length=1e9",), "length"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_samples_that_are_too_many_are_refused(
    words: tuple[str, ...], message: str, inside: Command, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    done = inside("sample", f"ckpt={trained('text')}", *words, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_an_evaluation_of_too_many_samples_is_refused(
    inside: Command, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    done = inside("evaluate", f"ckpt={trained('text')}", "n=1000000000", cwd=tmp_path)
    assert done.returncode == 2 and "add yes=true" in done.stderr


def test_limits_follow_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory_bytes", lambda: 2**30)
    check_memory(2**30, "a")
    with pytest.raises(UserError, match=r"batch=9 needs about 2 GiB of memory; this machine has 1 GiB"):
        check_memory(2**31, "batch=9")
    with pytest.raises(UserError, match="a batch of 1,000 samples of 1,000,000 values"):
        check_batch(1000, 1_000_000)
    check_samples(10_000, "n", yes=False)
    check_samples(10_001, "n", yes=True)
    monkeypatch.setattr(limits, "num_cores", lambda: 64)
    check_processes(256, "workers")
    with pytest.raises(UserError, match="this machine has 64 cores"):
        check_processes(257, "workers")


def test_the_memory_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory_bytes.cache_clear()
    whole = memory_bytes()
    (tmp_path / "max").write_text("1000000\n")
    monkeypatch.setattr(limits, "_CGROUP_LIMITS", (str(tmp_path / "none"), str(tmp_path / "max")))
    memory_bytes.cache_clear()
    assert memory_bytes() == 1_000_000
    (tmp_path / "max").write_text("max\n")
    memory_bytes.cache_clear()
    assert memory_bytes() >= whole > 2**28
    memory_bytes.cache_clear()


def shared(levels: int) -> str:
    """YAML of a list that is shared tenfold at each level."""
    lines = ["a0: &a0 [1]"] + [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(levels)]
    return "\n".join(lines)


def merged(levels: int) -> str:
    """YAML whose merge keys double at each line."""
    return "\n".join(
        ["a0: &a0 {k: 1}"] + [f"a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}, *a{n}, *a{n}]}}" for n in range(levels)]
    )


YAMLS = {
    "shared": shared(40),
    "merged": merged(40),
    "recursive": "a: &a [*a]",
    "recursive mapping": "a: &a {b: *a}",
    "nested": "[" * 200 + "]" * 200,
    "deeply nested": "[" * 100_000,
    "mapping in key": "{? {a: 1} : 2}",
    "tag": "!!python/name:os.system",
    "object": "!!python/object/apply:os.system [true]",
    "long number": "a: " + "9" * 5000,
    "digits": "a: " + "9" * 41,
    "alias": "a: *nothing",
    "cut": "a: [1",
    "tab": "a:\n\t- 1",
    "control": "a: \x01",
    "many": "[" + "1," * 200_001 + "]",
    "two documents": "a: 1\n---\nb: 2",
    "hexadecimal": "a: 0x" + "f" * 5000,
    "date": "a: 2026-99-99",
    "base 60": "a: " + "1:" * 3000 + "1",
}
JSONS = {
    "brackets": "[" * 100_000 + "]" * 100_000,
    "nested": "[" * 100 + "]" * 100,
    "objects": '{"a":' * 100_000,
    "empty": "",
    "digits": "1" * 5000,
    "number": "1" * 41,
    "negative": "-" + "1" * 60,
    "cut": '{"a": [1',
    "many": "[" + "1," * 300_000 + "1]",
    "pairs": "{" + ",".join(f'"{n}":1' for n in range(250_000)) + "}",
    "control": '{"\x01": 1}',
    "comment": "// a",
    "nul": "\0",
    "word": "nothing",
    "single quotes": "{'a': 1}",
    "comma": "[1,]",
    "lone": '{"a"}',
    "byte order mark": "\ufeff[",
    "exponent": "1e",
    "text": '"' + "a" * 100,
}


@pytest.mark.parametrize("name", YAMLS)
def test_yaml_that_is_no_small_tree_is_refused(name: str, capfd: Capture) -> None:
    answer = attempt(lambda: parse_yaml(YAMLS[name], "config.yaml"), capfd)
    assert answer.code == 2 and "config.yaml" in answer.lines[-1] and len(answer.lines[-1]) < 200


@pytest.mark.parametrize("name", JSONS)
def test_json_that_is_no_small_tree_is_refused(name: str, capfd: Capture) -> None:
    answer = attempt(lambda: parse_json(JSONS[name], "record.json"), capfd)
    assert answer.code == 2 and "record.json" in answer.lines[-1] and len(answer.lines[-1]) < 200


def test_a_tree_is_a_tree() -> None:
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": [[]]}}
    assert check_tree(value, "x") is value
    assert parse_yaml("a: [1, 2]\nb: &b {c: 1}\nd: *b", "x") == {"a": [1, 2], "b": {"c": 1}, "d": {"c": 1}}
    deep: list[object] = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    check_tree(deep, "x")
    with pytest.raises(UserError, match=f"more than {MAX_DEPTH} levels"):
        check_tree([[deep]], "x")
    check_tree([0] * (MAX_VALUES - 1), "x")
    with pytest.raises(UserError, match="more than 200,000 values"):
        check_tree([0] * MAX_VALUES, "x")


TURN = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CONVERSATIONS: dict[str, tuple[str, str]] = {
    "messages": (json.dumps({"messages": TURN * 30_000}), "60,000 messages of"),
    "characters": (
        json.dumps({"messages": [*TURN * 400, {"role": "user", "content": "a" * 2**20}]}),
        "too many for one",
    ),
    "depth": ('{"messages": ' + "[" * 100_000, "not JSON"),
    "nested": ('{"messages": ' + "[" * 100 + "]" * 100 + "}", "levels"),
    "values": (json.dumps({"messages": TURN, "other": [0] * 300_000}), "values"),
    "number": ('{"source": 1' + "0" * 10_000 + ', "target": "b"}', ""),
    "keys": (json.dumps({f"\x1b[31m{n}": 0 for n in range(1000)}), "has the fields"),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_that_are_too_large_are_named(name: str, tmp_path: Path, capfd: Capture) -> None:
    line, message = CONVERSATIONS[name]
    rows = [json.dumps({"source": f"{n}", "target": "b"}) for n in range(2)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*rows, line]))
    source = ChatFiles(str(path))
    answer = attempt(lambda: (len(source.train), print(*source.skipped)), capfd)
    assert answer.code == 0
    assert len(source.train) + len(source.val) == 2
    assert message in source.skipped[0]
    assert len(source.skipped[0]) < 1000

"""Plain values in a checkpoint: endless, long, with control characters, or no numbers."""

import json
import zipfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.core.errors import CorruptCheckpoint
from genai.core.plain_data import check_tree
from genai.modalities.tokenizers import BPE
from genai.runs.checkpoint import load_checkpoint
from tests.hostile.checkpoints import Change, State, assert_refused, put, shared, write_changed

VALUES: dict[str, Any] = {
    "endless lists": shared(40),
    "endless lists of few levels": shared(20),
    "endless tuples": reduce(lambda inner, _: (inner,) * 10, range(40), ()),
    "many values": list(range(300_000)),
    "20 MB": "x" * 20_000_000,
    "1 MB with control characters": "y\x1b" * 500_000,
    "control characters": "\x1b]0;owned\x07\x9b31m\u2028\n\n\n",
    "60 digits": 10**60,
    "5000 digits": 10**5000,
    "nan": float("nan"),
}
PLACES: dict[str, tuple[str, ...]] = {
    "tokenizer of the state": ("genai", "modality_state", "kind"),
    "size of the vocabulary": ("genai", "modality_state", "vocab_size"),
    "alphabet": ("genai", "modality_state", "alphabet"),
    "width": ("genai", "model", "network", "width"),
    "target": ("genai", "model", "_target_"),
    "sampling": ("genai", "model", "sampling"),
    "tokenizer": ("genai", "modality", "tokenizer"),
    "block": ("genai", "modality", "block"),
    "interface": ("genai", "interface"),
    "best": ("genai", "best"),
    "format": ("genai", "format"),
    "seconds": ("genai", "seconds"),
}
LARGE = ("20 MB", "many values", "1 MB with control characters", "endless lists of few levels")
CASES = [(place, value) for n, place in enumerate(PLACES) for value in VALUES if n % 4 == 0 or value not in LARGE]


@pytest.mark.parametrize(("place", "value"), CASES)
def test_a_value_of_any_kind_is_refused_in_a_few_words(place: str, value: str, good: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", put(VALUES[value], *PLACES[place]))
    assert_refused(lambda: genai.load(path, device="cpu"), r"x\.ckpt", tmp_path)


def name(text: str, *keys: str) -> Change:
    """Add a name to the mapping at ``keys``."""

    def change(state: State) -> None:
        put(1, *keys, text)(state)

    return change


NAMES = ("z" * 20_000_000, "z\x1b" * 500_000, "\x1b]0;owned\x07")


@pytest.mark.parametrize("text", NAMES, ids=["20 MB", "1 MB", "control characters"])
@pytest.mark.parametrize(
    "keys", [("genai", "model"), ("genai", "model", "network"), ("genai", "model", "sampling"), ("state_dict",)]
)
def test_a_name_of_any_length_is_refused_in_a_few_words(
    text: str, keys: tuple[str, ...], good: Path, tmp_path: Path
) -> None:
    value = torch.zeros(1) if keys == ("state_dict",) else 1
    path = write_changed(good, tmp_path / "x.ckpt", put(value, *keys, text))
    assert_refused(
        lambda: genai.load(path, device="cpu").sample("a", length=1), r"x\.ckpt|There is no option", tmp_path
    )


@pytest.mark.parametrize("value", ["endless lists of few levels", "1 MB with control characters", "nan"])
@pytest.mark.parametrize("place", ["tokenizer of the state", "alphabet", "width", "best"])
def test_training_does_not_start_from_such_values(
    place: str, value: str, stranger: Path, small: list[str], resume: Callable[[Path], object], tmp_path: Path
) -> None:
    path = stranger / "checkpoints" / "last.ckpt"
    write_changed(path, path, put(VALUES[value], *PLACES[place]))
    if place not in ("width", "best"):  # which a new run does not use
        assert_refused(lambda: genai.fit(*small, f"init_from={path}", "steps=1"), r"last\.ckpt", tmp_path)
    assert_refused(lambda: resume(stranger), r"last\.ckpt|does not fit the run", tmp_path)


@pytest.mark.parametrize(
    "value", ["endless lists of few levels", "20 MB", "1 MB with control characters", "many values"]
)
def test_a_run_with_such_a_config_is_not_resumed(value: str, stranger: Path, tmp_path: Path) -> None:
    """What is told about a change is bounded, too."""
    text = json.dumps(VALUES[value][:5_000]) if value != "endless lists of few levels" else yaml_bomb()
    (stranger / "config.yaml").write_text(f"batch: {text}\n")
    assert_refused(lambda: genai.fit(f"resume={stranger}", "steps=3"), r"config\.yaml|extend it with steps", tmp_path)


def yaml_bomb() -> str:
    """The same as ``shared(20)``."""
    lines = ["&a0 []", *(f"&a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 21))]
    return "[" + ", ".join(lines) + "]"


# ------------------------------------------------------------------------------------------------------- tokenizers


def bpe_model(**changes: Any) -> dict[str, Any]:
    """The JSON of a small tokenizer."""
    model: dict[str, Any] = json.loads(BPE.train(["the cat saw the dog"], 280).state()["json"])["model"]
    return {**model, **changes}


def without_a_byte() -> dict[str, Any]:
    vocab = bpe_model()["vocab"]
    del vocab["a"]
    return bpe_model(vocab={token: number for number, token in enumerate(vocab)}, merges=[])


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "no JSON": lambda: "{",
    "no model": lambda: "{}",
    "deep JSON": lambda: "[" * 100_000,
    "27 MB": lambda: json.dumps({"model": {"vocab": {"x" * 27_000_000: 0}, "merges": []}}),
    "many numbers": lambda: json.dumps([0] * 90_000),
    "more tokens than ids": lambda: {"model": bpe_model(vocab={f"{n}": n for n in range(2000)}, merges=[])},
    "ids beyond the vocabulary": lambda: {"model": bpe_model(vocab={**bpe_model()["vocab"], "zzz": 10**9})},
    "an id twice": lambda: {"model": bpe_model(vocab={**bpe_model()["vocab"], "zzz": 5})},
    "ids of text": lambda: {"model": bpe_model(vocab={**bpe_model()["vocab"], "zzz": "5"})},
    "an empty token": lambda: {"model": bpe_model(vocab={**bpe_model()["vocab"], "": len(bpe_model()["vocab"])})},
    "a byte without a token": lambda: {"model": without_a_byte()},
    "merges of unknown tokens": lambda: {"model": bpe_model(merges=[["\x1bq", "zz" * 400_00]])},
    "merges of three": lambda: {"model": bpe_model(merges=[["a", "b", "c"]])},
    "merges of numbers": lambda: {"model": bpe_model(merges=[1, 2])},
    "no text": lambda: 5,
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_tokenizer_of_rubbish_is_refused(kind: str, good: Path, tmp_path: Path) -> None:
    value = TOKENIZERS[kind]()

    def change(state: State) -> None:
        text = json.dumps(value) if isinstance(value, dict) else value
        state["genai"]["modality"] |= {"tokenizer": "bpe", "vocab_size": 300}
        state["genai"]["modality_state"] = {"kind": "bpe", "json": text, "vocab_size": 300}

    path = write_changed(good, tmp_path / "x.ckpt", change)
    assert_refused(lambda: genai.load(path, device="cpu"), "not a tokenizer|16,777,216 characters", tmp_path)


@pytest.mark.parametrize(
    "alphabet", ["", "ba", "aab", "a" * 2_000_000, "\ud800", "a", "abcdefghijklmnopqrstuvw", 5, b"ab"]
)
def test_an_alphabet_is_sorted_and_of_the_size_of_the_network(alphabet: Any, good: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", put(alphabet, "genai", "modality_state", "alphabet"))
    refusals = "not a tokenizer|do not fit its model|which is code"
    assert_refused(lambda: genai.load(path, device="cpu"), refusals, tmp_path)


# --------------------------------------------------------------------------------------------------- pickles by hand


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def filled(key: bytes) -> bytes:
    """A dictionary with one name."""
    return b"\x80\x02}" + key + b"K\x01s."


REPEATED = text("m" * 2**20) + b"q\x01"
PICKLES: dict[str, bytes] = {
    "a name that takes forever to hash": filled(b"N\x85" + b"q\x00h\x00\x86" * 60),
    "a name of a list": filled(b"]"),
    "a storage whose name takes forever to hash": b"\x80\x02("
    + text("storage")
    + b"ctorch\nFloatStorage\n"
    + b"N\x85"
    + b"q\x00h\x00\x86" * 60
    + text("cpu")
    + b"K\x01tQ.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a dictionary in itself": b"\x80\x02}q\x00K\x01h\x00s.",
    "a megabyte a hundred times": b"\x80\x02](" + REPEATED + b"h\x01" * 100 + b"e.",
    "attributes of a dictionary": b"\x80\x02ccollections\nOrderedDict\n)R}" + text("items") + b"K\x01sb.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "a call of a storage": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a dictionary from pairs": b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
    "a storage in place of a value": b"\x80\x02ctorch\nFloatStorage\n.",
    "more on the stack than the result": b"\x80\x02NNN.",
    "nothing on the stack": b"\x80\x02.",
    "no end": b"\x80\x02N",
    "a mark that is none": b"\x80\x02t.",
    "a memory that is none": b"\x80\x02h\x07.",
    "an unknown instruction": b"\x80\x02\xff.",
    "a persistent number": b"\x80\x02K\x01Q.",
    "a text that is longer than the file": b"\x80\x02X\xff\xff\xff\x7fa.",
    "items of a number": b"\x80\x02K\x01K\x01K\x02s.",
    "a text as a number": b"\x80\x02I" + b"9" * 1_000_000 + b"\n.",
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_made_by_hand_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in {"data.pkl": PICKLES[kind], "version": b"3\n", "byteorder": b"little"}.items():
            archive.writestr(f"archive/{part}", content)
    assert_refused(lambda: genai.load(path, device="cpu"), r"x\.ckpt is (refused|damaged)", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        put({"a": torch.zeros(3), "b": 1}, "genai", "model", "network", "width"),
        put(torch.zeros(3), "genai", "best"),
        put(torch.zeros(3), "genai", "modality_state", "vocab_size"),
        put(torch.zeros(3), "genai", "modality"),
    ],
)
def test_tensors_are_no_plain_values(change: Change, good: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", change)
    assert_refused(lambda: genai.load(path, device="cpu"), r"x\.ckpt", tmp_path)


def test_a_checkpoint_may_hold_flat_names_and_tensors_in_the_state_of_a_modality(good: Path, tmp_path: Path) -> None:
    more = {"genai.more": {(1, "a"): [1.5, None, True, (2, 3)]}, "size": torch.Size([3, 4])}
    path = write_changed(good, tmp_path / "x.ckpt", lambda state: state.update(more))
    loaded = load_checkpoint(path)
    assert {name: loaded[name] for name in more} == more


def test_a_tree_is_counted_as_often_as_its_parts_occur() -> None:
    assert check_tree({"a": [1, "b"]}, "x") == {"a": [1, "b"]}
    for value, limit in (
        (shared(7), {}),
        (["ab"] * 3, {"max_text": 5}),
        ([1], {"max_values": 1}),
        (object(), {"others": ()}),
    ):
        with pytest.raises(Exception, match="x is refused"):
            check_tree(value, "x", **limit)  # type: ignore[arg-type]
    with pytest.raises(CorruptCheckpoint):
        raise CorruptCheckpoint("\x1b")

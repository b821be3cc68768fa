"""Any text passes through Hydra unharmed; words do what they say."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genai.config import carry, compose, put_down
from genai.errors import Mistake
from genai.sample import FREE_TEXT, set_apart, texts
from tests.conftest import SMALL

Command = Callable[..., subprocess.CompletedProcess[str]]
NASTY = [
    "",
    " a, b ",
    'it\'s "quoted" \\',
    "{a: [1, 2]}",
    "x=1=2",
    "# no comment",
    "${oc.env:HOME} ${x",
    "???",
    "line\nline\r\n\ttab",
    "1984",
    "true",
    "null",
    "[a,b]",
    "text:6162",
    "-m --help",
    "~del +add @pkg",
    "héllo 🎉 \u202e",
    "\\${a}",
]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
@example(NASTY[2])
@example(NASTY[6])
@example(NASTY[7])
@example(NASTY[13])
def test_any_text_arrives_as_it_was_sent(text: str) -> None:
    words, options = set_apart([f"prompt={text}", f"stop={text}"])
    assert compose("sample", words, FREE_TEXT).values["prompt"] == text
    assert options == {"stop": text}


@pytest.mark.parametrize("text", NASTY)
def test_nasty_texts_arrive(text: str) -> None:
    assert put_down(carry(f"prompt={text}", FREE_TEXT)) == f"prompt={text}"
    assert compose("sample", [f"prompt={text}"], FREE_TEXT).values["prompt"] == text


def test_plain_words_stay_readable() -> None:
    for path in ("runs/2026-01-31/12-00-00-text-gpt", "../a.ckpt", "~/x", "abc"):
        assert carry(f"ckpt={path}", FREE_TEXT) == f"ckpt={path}"


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("a", ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ("[a, b]", ["[a, b]"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[]", ["[]"]),
        ("", [""]),
    ],
)
def test_only_a_json_list_of_texts_is_a_list(value: str, meant: list[str]) -> None:
    assert texts(value) == meant


def test_names_below_a_node_need_not_be_listed() -> None:
    composed = compose("train", ["model.network.dropout=0.1", "optimizer.momentum=0.9", "data.val_fraction=0.2"])
    assert composed.values["model"]["network"]["dropout"] == 0.1
    assert composed.values["optimizer"]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("stepz=3", "no option 'stepz'. Did you mean 'steps'"),
        ("model=gptt", "model=gptt: there is no such model. Did you mean 'gpt'"),
        ("experiment=nothing", "experiment=nothing.*shakespeare_char"),
        ("modality=[a", "Cannot read"),
        ("steps", "Cannot read 'steps'; write key=value"),
    ],
)
def test_wrong_words_are_explained(word: str, says: str) -> None:
    with pytest.raises(Mistake, match=says):
        compose("train", [word])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A folder with one small run in it."""
    import genai

    folder = tmp_path_factory.mktemp("place")
    genai.fit(*SMALL, f"data.path={corpus}", f"runs={folder / 'runs'}", "steps=2")
    return folder


def test_nasty_prompts_through_the_real_command_line(place: Path, command: Command) -> None:
    prompts = [text for text in NASTY if text]
    done = command("sample", f"prompt={json.dumps(prompts)}", "length=3", "out=nasty", "stop= \n", cwd=place)
    assert done.returncode == 0, done.stderr
    for number, prompt in enumerate(prompts):
        recipe = json.loads((place / "nasty" / f"{number:03d}.json").read_text())
        assert recipe["prompt"] == prompt
        assert recipe["options"] == {"length": 3, "stop": [" \n"]}
        assert (place / "nasty" / f"{number:03d}.txt").read_bytes().decode().startswith(prompt)
    one = command("sample", f"prompt={NASTY[2]}", "length=3", "out=one", cwd=place)
    assert one.returncode == 0, one.stderr
    assert json.loads((place / "one" / "000.json").read_text())["prompt"] == NASTY[2]


def test_the_same_command_gives_the_same_bytes_and_one_sample_comes_again(place: Path, command: Command) -> None:
    for out in ("a", "b"):
        done = command(
            "sample", 'prompt=["the ", "a longer one "]', "n=2", "seed=4", "length=20", f"out={out}", cwd=place
        )
        assert done.returncode == 0, done.stderr
    for name in sorted(os.listdir(place / "a")):
        assert (place / "a" / name).read_bytes() == (place / "b" / name).read_bytes()
    assert json.loads((place / "a" / "003.json").read_text())["seed"] == 7
    again = command("sample", "from=a/003.json", "out=c", cwd=place)
    assert again.returncode == 0, again.stderr
    assert sorted(os.listdir(place / "c")) == ["000.json", "000.txt"]
    assert (place / "c" / "000.txt").read_bytes() == (place / "a" / "003.txt").read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["temprature=1"], "Did you mean 'temperature'"),
        (["temperature=-1"], "temperature='-1': it should be greater than or equal to 0"),
        (["length=many"], "length='many': it should be a valid integer"),
        (["n=0"], "n=0: it should be greater than or equal to 1"),
        (["weights=best"], "weights='best': it should be 'ema' or 'raw'"),
        (["modality=txt"], "Did you mean 'text'"),
        (["ckpt=runs/nope"], "there is no run folder or checkpoint runs/nope"),
        (["ckpt=https://example.org/a.ckpt"], "only files on this machine"),
        (["prompts_file=nope.txt"], "cannot read prompts_file=nope.txt"),
        (["from=nope.json"], "cannot read from=nope.json"),
        (["out=/dev/null/x"], "cannot make the folder out=/dev/null/x"),
        (["prompt=a", "prompts_file=b"], "give one of them"),
    ],
)
def test_wrong_samples_are_explained(words: list[str], says: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genai.sample import sample

    monkeypatch.chdir(place)
    known, options = set_apart(words)
    with pytest.raises(Mistake, match=says):
        sample(compose("sample", known, FREE_TEXT), options)
    assert not (place / "samples").exists()

"""Any text passes through Hydra unharmed; words do what they say."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genai.cli.compose import FREE_TEXT_KEYS, compose, decode_override, encode_override
from genai.cli.options import parse_prompts, split_options
from genai.commands.sample import sample
from genai.core.errors import UserError
from tests.conftest import copy_run
from tests.stubs import decoded_files

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
    ".5",
    "~/a~b",
    "-m --help",
    "~del +add @pkg",
    "héllo 🎉 \u202e",
    "\\${a}",
]


ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
HYDRA_SYNTAX = st.lists(st.sampled_from([*NASTY, *".~-+_/1e:,=$%@*?|nx", "inf", "null", "\udcff"]), max_size=5).map(
    "".join
)


@settings(max_examples=50, deadline=None)
@given(st.lists(ANY | HYDRA_SYNTAX, min_size=len(FREE_TEXT_KEYS["sample"]), max_size=len(FREE_TEXT_KEYS["sample"])))
@example(["null"] * len(FREE_TEXT_KEYS["sample"]))
@example(NASTY[: len(FREE_TEXT_KEYS["sample"])])
@example(NASTY[-len(FREE_TEXT_KEYS["sample"]) :])
def test_any_text_arrives_as_it_was_sent(texts: list[str]) -> None:
    sent = dict(zip(FREE_TEXT_KEYS["sample"], texts, strict=True))
    words, options = split_options("sample", [*(f"{key}={text}" for key, text in sent.items()), f"stop={texts[0]}"])
    values = compose("sample", words).values
    nothing = {key: None for key, text in sent.items() if text == "null" and key != "prompt"}
    assert {key: values[key] for key in sent} == {**sent, **nothing}
    assert options == {"stop": texts[0]}


@pytest.mark.parametrize("text", NASTY)
def test_nasty_texts_are_put_down_as_they_were_carried(text: str) -> None:
    assert decode_override(encode_override(f"prompt={text}", FREE_TEXT_KEYS["sample"])) == f"prompt={text}"


@pytest.mark.parametrize("path", ["~/runs", "a, b/c=1.txt", ".5", "\udcff"])
def test_any_path_arrives(path: str) -> None:
    values = compose("train", ["data=text_folder", f"data.path={path}", f"runs={path}"]).values
    assert (values["data"]["path"], values["runs"]) == (path, path)


@pytest.mark.parametrize("text", [*NASTY, "red apple, zwx"])
def test_any_caption_arrives(text: str) -> None:
    values = compose("train", ["modality=image", "data=image_folder", f"data.default_caption={text}"]).values
    assert values["data"]["default_caption"] == (None if text == "null" else text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("dog-._/+%?:@* 2", "dog-._/+%?:@* 2"),
        ("'dog (brown)'", "dog (brown)"),
        ("'café'", "café"),
        ('"cat\'s"', "cat's"),
    ],
)
def test_signs_of_what_a_subject_is(text: str, kind: str) -> None:
    """Those that docs/image.md allows, and others in quotes."""
    values = compose("train", ["experiment=subject", "subject.word=zwx", f"subject.kind={text}"]).values
    assert (values["subject"]["kind"], values["data"]["default_caption"]) == (kind, f"zwx {kind}")


def test_texts_that_look_carried_are_left_alone() -> None:
    assert compose("train", ['prompts=["text:", "text:6162"]']).values["prompts"] == ["text:", "text:6162"]


def test_plain_words_stay_readable() -> None:
    for path in ("runs/2026-01-31/12-00-00-text-gpt", "../a.ckpt", "/a/.b", "abc"):
        assert encode_override(f"ckpt={path}", FREE_TEXT_KEYS["sample"]) == f"ckpt={path}"


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
    assert parse_prompts(value) == meant


def test_names_below_a_node_need_not_be_listed() -> None:
    composed = compose("train", ["model.network.dropout=0.1", "optimizer.momentum=0.9", "data.val_fraction=0.2"])
    assert composed.values["model"]["network"]["dropout"] == 0.1
    assert composed.values["optimizer"]["momentum"] == 0.9


def test_another_class_does_not_inherit_what_yaml_lists_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_plugin.py").write_text(
        "from genai.core.data import Source\nfrom genai.methods.diffusion import Diffusion\n"
        "class Mine(Source):\n    pass\nclass Heun(Diffusion):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["modality=image", "plugins=[other_plugin]"]
    assert "size" in compose("train", words).values["data"]
    values = compose("train", [*words, "data._target_=other_plugin.Mine", "data.path=a"]).values
    assert values["data"] == {"_target_": "other_plugin.Mine", "path": "a"}
    listed = compose("train", words).values["model"]
    subclass = compose("train", [*words, "model._target_=other_plugin.Heun"]).values["model"]
    assert subclass == {**listed, "_target_": "other_plugin.Heun"}
    network = ["model.network._target_=genai.networks.gpt.GPT", "model.network.heads=2"]
    assert compose("train", [*words, *network]).values["model"] == {
        **listed, "network": {"_target_": "genai.networks.gpt.GPT", "heads": 2}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("stepz=3", "no option 'stepz'. Did you mean 'steps'"),
        ("model=gptt", "model=gptt: there is no such model. Did you mean 'gpt'"),
        ("experiment=nothing", "experiment=nothing.*shakespeare_char"),
        ("modality=[a", "Cannot read"),
        ("data=null", "data=null: data cannot be null"),
        (f"steps={'9' * 5000}", "Exceeds the limit"),
        ("steps", "Cannot read 'steps'; write key=value"),
    ],
)
def test_wrong_words_are_explained(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose("train", [word])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: Callable[[str], Path]) -> Path:
    """A folder with one small run in it."""
    folder = tmp_path_factory.mktemp("place")
    copy_run(trained("text"), folder / "runs")
    return folder


@pytest.fixture
def run_sample(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``genai.sample`` in this process, in the folder of that run."""
    monkeypatch.chdir(place)

    def run(*words: str) -> None:
        known, options = split_options("sample", words)
        sample(compose("sample", known), options)

    return run


def recipe(folder: Path, number: int = 0) -> dict[str, Any]:
    return dict(json.loads((folder / f"{number:03d}.json").read_text()))


@pytest.mark.slow
def test_nasty_prompts_through_the_real_command_line(place: Path, command: Command) -> None:
    prompts = [text for text in NASTY if text]
    words = [f"prompt={json.dumps(prompts)}", "length=3", "out=nasty", "stop= \n"]
    done = command("sample", *words, cwd=place, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    for number, prompt in enumerate(prompts):
        assert recipe(place / "nasty", number)["prompt"] == prompt
        assert recipe(place / "nasty", number)["options"].items() >= {"length": 3, "stop": [" \n"]}.items()
        assert (place / "nasty" / f"{number:03d}.txt").read_bytes().decode().startswith(prompt)


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes_and_one_sample_comes_again(
    place: Path, command: Command, inside: Command
) -> None:
    prompt = NASTY[2] + NASTY[-2] + "\udcff"  # a byte that is no UTF-8, as a terminal may send it
    for out, run in {"a": command, "b": inside}.items():
        done = run("sample", f"prompt={prompt}", "n=4", "seed=4", "length=20", f"out={out}", cwd=place)
        assert done.returncode == 0, done.stderr
    suffixes = ("c2pa", "json", "txt")
    assert sorted(os.listdir(place / "a")) == sorted(f"00{i}.{suffix}" for i in range(4) for suffix in suffixes)
    assert decoded_files(place / "a") == decoded_files(place / "b")
    assert (recipe(place / "a", 3)["prompt"], recipe(place / "a", 3)["seed"]) == (prompt, 7)
    again = inside("sample", "from=a/003.json", "out=c", cwd=place)
    assert again.returncode == 0, again.stderr
    assert sorted(os.listdir(place / "c")) == ["003.c2pa", "003.json", "003.txt"]
    assert (place / "c" / "003.txt").read_bytes() == (place / "a" / "003.txt").read_bytes()
    assert recipe(place / "c", 3) == recipe(place / "a", 3)


def test_a_file_of_prompts_has_one_a_line(place: Path, run_sample: Callable[..., None]) -> None:
    (place / "prompts.txt").write_bytes('\ufeff a, "b"\r\n\n["c"]\n'.encode())
    run_sample("prompts_file=prompts.txt", "n=2", "length=2", "out=lines")
    samples = [recipe(place / "lines", number) for number in range(6)]
    assert [recipe_data["prompt"] for recipe_data in samples] == [' a, "b"', ' a, "b"', "", "", '["c"]', '["c"]']
    assert [recipe_data["seed"] for recipe_data in samples] == [0, 1, 2, 3, 4, 5]


def test_a_text_to_continue_needs_no_prompt(place: Path, run_sample: Callable[..., None]) -> None:
    (place / "begin.txt").write_text("the cat")
    run_sample("init=begin.txt", "length=4", "out=continued")
    assert sorted(os.listdir(place / "continued")) == ["000.c2pa", "000.json", "000.txt"]
    assert (place / "continued" / "000.txt").read_text().startswith("the cat")


def test_options_become_what_they_are(place: Path, run_sample: Callable[..., None]) -> None:
    run_sample('stop=["a", ", b"]', "temperature=0", "top_k=3", "length=2", "out=options")
    asked = {"stop": ["a", ", b"], "temperature": 0.0, "top_k": 3, "length": 2}
    left = {
        "min_p": 0.0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "suffix": [],
        "stop_ids": [],
    }
    left |= {"logit_bias": {}, "logprobs": None, "regex": None, "json_schema": None, "watermark": False}
    assert recipe(place / "options")["options"] == asked | left  # what is a default today may be another tomorrow


def test_a_recipe_knows_its_files_and_finds_a_checkpoint_that_has_moved(
    place: Path, run_sample: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "begin.txt").write_text("the cat")
    run_sample("init=begin.txt", "length=4", "out=begun")
    assert recipe(place / "begun")["files"] == {str(place / "begin.txt"): sha256(b"the cat").hexdigest()}
    (place / "runs").rename(place / "moved")
    try:
        with pytest.raises(UserError, match=r"is missing or has changed.*no copy is in runs/"):
            run_sample("from=begun/000.json", "out=again")
        run_sample("from=begun/000.json", "out=again", "runs=moved")
        assert (place / "again" / "000.txt").read_bytes() == (place / "begun" / "000.txt").read_bytes()
        (place / "begin.txt").write_text("the dog")
        with pytest.raises(UserError, match=r"begin\.txt is missing or has changed"):
            run_sample("from=begun/000.json", "out=again", "runs=moved")
        with pytest.raises(UserError, match="animate=true is not supported for text"):
            run_sample("animate=true", "runs=moved")
    finally:
        (place / "moved").rename(place / "runs")


def test_samples_of_the_same_second_are_all_kept(place: Path, run_sample: Callable[..., None]) -> None:
    for _ in range(3):
        run_sample("prompt=a", "length=1")
    assert len(list((place / "samples").glob("*/*/000.txt"))) == 3
    shutil.rmtree(place / "samples")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["temprature=1"], "Did you mean 'temperature'"),
        (["temperature=-1"], "temperature='-1': it should be greater than or equal to 0"),
        (["temperature=nan"], "temperature='nan': it should be"),
        (["length=many"], "length='many': it should be a whole number"),
        (["n=0"], "n=0: it should be greater than or equal to 1"),
        (["seed=-1"], "seed=-1: it should be greater than or equal to 0"),
        (["weights=best"], "weights='best': it should be 'ema' or 'raw'"),
        (["plugins=mine"], "plugins='mine': it should be a list"),
        (["modality=txt"], "Did you mean 'text'"),
        (["modality=image"], "no image run with a checkpoint"),
        (["ckpt=runs/nope"], "there is no run folder or checkpoint runs/nope"),
        (["ckpt=https://example.org/a.ckpt"], "only local files can be loaded"),
        (["init=nope.txt"], "cannot read .*nope.txt"),
        (["prompts_file=nope.txt"], "prompts_file=: cannot read nope.txt"),
        (["prompts_file=/dev/null"], "prompts_file=: /dev/null is not a file"),
        (["from=nope.json"], "cannot read nope.json"),
        (["from=nope.json", "prompt=a"], "leave out prompt"),
        (["from=nope.json", "temperature=1"], "leave out temperature"),
        (["out=/dev/null/x"], "cannot create the folder out=/dev/null/x"),
        (["prompt=a", "prompts_file=b"], "give one of them"),
    ],
)
def test_wrong_samples_are_explained(
    words: list[str], message: str, place: Path, run_sample: Callable[..., None]
) -> None:
    with pytest.raises(UserError, match=message):
        run_sample(*words)
    assert not (place / "samples").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": []},
        {"item": 3},
        {"init": 5},
        {"checkpoint": None},
        {"batch": {"0": {"prompt": "a", "seed": 0}}},
        {"batch": [{"seed": 0}]},
        {"batch": [{"prompt": 5, "seed": 0}]},
        {"batch": [{"prompt": "a", "seed": True}]},
        {"batch": [{"prompt": "a", "seed": 2**80}]},
    ],
)
def test_what_is_no_recipe_is_refused(
    wrong: dict[str, Any], tmp_path: Path, place: Path, run_sample: Callable[..., None]
) -> None:
    good = {"options": {}, "checkpoint": str(place), "checkpoint_sha256": "", "weights": "ema", "item": 0, "init": None}
    content = {**good, "batch": [{"prompt": "a", "seed": 0}], **wrong}
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"wrong\.json is not the recipe of a sample"):
        run_sample(f"from={tmp_path / 'wrong.json'}")

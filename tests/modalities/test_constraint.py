"""Text that fits a regular expression or a JSON schema."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from genai.cli.options import parse_options
from genai.core.errors import UserError
from genai.core.instantiate import parse_dataclass
from genai.inference.model import Model
from genai.methods.autoregressive import Autoregressive
from genai.modalities.constraint import create_constraints, create_grammar
from genai.modalities.text import Text, TextOptions
from genai.modalities.tokenizers import Bytes
from genai.networks.gpt import GPT

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 4}, "adult": {"type": "boolean"}},
    "required": ["name", "adult"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> Model:
    """A model with random weights: it writes any bytes."""
    torch.manual_seed(0)
    text = Text("bytes", block=32)
    return Model(text, Autoregressive(GPT(257, 32, 1, 2, 16, ngrams=1)).eval())


@pytest.mark.parametrize("pattern", [r"[a-c]{3}-[0-9]{1,9}", r"(yes|no)", r"[à-ü]{2,4}!", r"é{1,3}ü", r"x?"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_sample_fits_the_regular_expression(model: Model, pattern: str, temperature: float) -> None:
    samples = model.sample("begin: ", n=5, length=200, regex=pattern, temperature=temperature)
    assert all(re.fullmatch(pattern, sample.removeprefix("begin: ")) for sample in samples)


@pytest.mark.parametrize("form", ["mapping", "text", "file"])
def test_a_sample_fits_the_schema(model: Model, tmp_path: Path, form: str) -> None:
    file = tmp_path / "person.json"
    file.write_text(json.dumps(PERSON), encoding="utf-8")
    schema: Any = {"mapping": PERSON, "text": json.dumps(PERSON), "file": str(file)}[form]
    bias = {ord(c): -100.0 for c in " \n\t\r"}  # the grammar allows any white space between
    for sample in model.sample("", n=4, length=200, json_schema=schema, logit_bias=bias):
        value = json.loads(sample)
        assert list(value) == ["name", "adult"] and isinstance(value["adult"], bool) and len(value["name"]) <= 4


def test_a_schema_is_kept_as_text_so_that_recipes_need_no_file(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_text(json.dumps(PERSON), encoding="utf-8")
    options = parse_dataclass(TextOptions, {"json_schema": str(file)})
    assert options.json_schema is not None and json.loads(options.json_schema) == PERSON


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"regex": "(a"}, "regex=: "),
        ({"regex": "a", "json_schema": "{}"}, "give one of them"),
        ({"json_schema": '{"type": "nothing"}'}, "json_schema=: "),
        ({"json_schema": "{"}, "json_schema=: "),
        ({"json_schema": "missing.json"}, "missing.json"),
        ({"regex": "a" * 2_000_000}, "at most"),
        ({"logit_bias": {300: 1.0}}, "there is no token 300; the last one is 256"),
        ({"logit_bias": {"a": 1.0}}, "logit_bias"),
        ({"logit_bias": dict.fromkeys(range(257), -100.0)}, "forbids every token"),
        ({"stop_ids": [257]}, "there is no token 257"),
        ({"stop_ids": [1] * 65}, "stop_ids"),
        ({"json_schema": {"const": {1}}}, "plain values"),
        ({"json_schema": {"$ref": "#"}}, "no text fits"),
        ({"regex": "((a{1,1000}){1,1000}){1,1000}", "length": 300, "logit_bias": {256: -100.0}}, "too complex"),
        ({"regex": "(a"}, "unclosed group"),
    ],
)
def test_mistakes_are_said(model: Model, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        model.sample("", **{"length": 4, **options})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UserError, match=r"genai\[grammar\]"):
        create_grammar("a", None)


def test_a_token_of_several_characters_counts_if_all_of_them_fit() -> None:
    tokenizer = Bytes()
    tokenizer.token_bytes = [b"a", b"ab", b"abc", b"b", b"bd", b"c"]
    constraints = create_constraints(create_grammar("abc|bd", None), tokenizer, (6, 7), 1)
    assert constraints is not None
    (constraint,) = constraints
    assert constraint.allowed().nonzero().flatten().tolist() == [0, 1, 2, 3, 4]
    constraint.advance(1)
    assert constraint.allowed().nonzero().flatten().tolist() == [5]
    constraint.advance(5)
    assert constraint.allowed().nonzero().flatten().tolist() == [6, 7]
    constraint.advance(6)
    constraint.advance(6)
    assert constraint.allowed().nonzero().flatten().tolist() == [6, 7]


def test_log_probabilities_are_told_with_the_text(model: Model) -> None:
    sample = model.sample("a", length=6, regex="[bc]{3}", logprobs=2)[0]
    assert b"".join(token.content for token in sample.tokens) == sample[1:].encode()
    for token in sample.tokens:
        assert len(token.top_log_probs) == 2 and token.top_log_probs[0][1] >= max(
            token.top_log_probs[1][1], token.log_prob
        )
    entries = json.loads(sample.side_files["-logprobs.json"])
    assert [entry["token"] for entry in entries] == list(sample[1:])
    assert entries[0]["logprob"] == pytest.approx(sample.tokens[0].log_prob, abs=1e-6)
    assert not model.sample("a", length=6)[0].side_files


def test_a_sample_ends_before_a_stop_id(model: Model) -> None:
    bias = {ord(c): 30.0 for c in "xy"}
    for sample in model.sample("a", n=5, length=50, stop_ids=[ord("y")], logit_bias=bias, logprobs=0):
        assert set(sample[1:]) <= {"x"} and len(sample.tokens) == len(sample) - 1


def test_a_constraint_holds_against_a_bias(model: Model) -> None:
    """All that fits is forbidden by the bias: the constraint decides."""
    for sample in model.sample("", n=3, length=5, regex="[0-9]{3}", logit_bias={256: -100.0, 48: -100.0}):
        assert re.fullmatch("[1-9]{3}", sample)


def test_special_tokens_fit_no_grammar() -> None:
    tokenizer = Bytes()
    tokenizer.token_bytes, tokenizer.special_ids = [b"a", b"<mark>", b"b"], [1]
    (constraint,) = create_constraints(create_grammar(".*", None), tokenizer, (3,), 1) or []
    assert constraint.allowed().tolist() == [True, False, True, True]


def test_a_path_is_a_schema_too(model: Model, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"type": "boolean"}', encoding="utf-8")
    assert model.sample("", length=9, json_schema=tmp_path / "a.json")[0] in ("true", "false")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ({"stop_ids": "[13, 198]"}, "stop_ids", [13, 198]),
        ({"logit_bias": '{"13": -100, "198": 2}'}, "logit_bias", {13: -100.0, 198: 2.0}),
        ({"stop_ids": "[]"}, "stop_ids", []),
    ],
)
def test_lists_and_mappings_are_json_on_the_command_line(
    model: Model, words: dict[str, str], name: str, value: Any
) -> None:
    values = parse_options(model, words, [])
    options, _ = model.build_options(json.loads(json.dumps(values)))  # as a recipe keeps them
    parsed = getattr(options, name)
    assert (dict(parsed) if isinstance(value, dict) else list(parsed)) == value

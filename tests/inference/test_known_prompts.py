"""What a model says that it knows, and what it says of prompts that it does not."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import genai
from genai.inference.known_prompts import MAX_PROMPTS, count_prompts, describe_model, prompt_notes
from genai.inference.model import Model
from genai.runs.record import PromptsRecord


@pytest.fixture(scope="module")
def model(trained: Callable[[str], Path]) -> Model:
    return genai.load(trained("image"), device="cpu")


def with_prompts(model: Model, *prompts: str) -> Model:
    model.record = {**model.record, "known_prompts": vars(count_prompts(prompts))}
    return model


def test_prompts_and_words_are_counted_the_most_frequent_first() -> None:
    assert count_prompts(["a cat", "the cat", "a cat", ""]) == PromptsRecord(2, ["a cat", "the cat"], 3, "cat a the")
    assert count_prompts(["", ""]) == PromptsRecord(0, [], 0, "")


def test_of_equally_frequent_prompts_some_at_even_distances_are_recorded() -> None:
    prompts = [f"cat {number:04}" for number in range(2 * MAX_PROMPTS)]
    recorded = count_prompts([*prompts, *prompts[-2:]]).prompts
    assert recorded[:2] == prompts[-2:] and len(recorded) == MAX_PROMPTS
    distances = {int(b[4:]) - int(a[4:]) for a, b in pairwise(recorded[2:])}
    assert distances <= {2, 3}


def test_a_run_records_the_prompts_of_its_training_data(trained: Callable[[str], Path]) -> None:
    record = genai.load(trained("image"), device="cpu").record["known_prompts"]
    assert record["count"] > 10 and "circle" in record["words"].split()
    assert genai.load(trained("text"), device="cpu").record["known_prompts"]["count"] == 0


def test_the_line_about_a_model(model: Model, trained: Callable[[str], Path]) -> None:
    size = model.modality.description
    assert describe_model(with_prompts(model, "cat", "dog")) == f"{size}; 2 prompts: cat, dog"
    assert describe_model(with_prompts(model, "cat")) == f"{size}; 1 prompt: cat"
    many = describe_model(with_prompts(model, *(f"cat {number}" for number in range(20)), "cat 3"))
    assert many == f"{size}; 20 prompts of 21 words, such as: cat 3"
    assert describe_model(with_prompts(model, "", "")) == f"{size}; trained without prompts"
    assert describe_model(genai.load(trained("text"), device="cpu")).startswith("text of ")


@pytest.mark.parametrize(
    ("prompts", "notes"),
    [
        (["cat", "Dog"], []),
        (["a red car", "cat"], ["in no prompt of the training data, so without meaning: a, red, car"]),
        (["cat " * 80], ["only the first 64 of 80 words count: "]),
        ([""], []),
        (
            [" ".join(f"w{number}" for number in range(9))],
            ["in no prompt of the training data, so without meaning: w0, w1, w2, w3, w4, w5, w6, w7, ..."],
        ),
    ],
)
def test_what_a_model_does_not_know_of_a_prompt_is_said(prompts: list[str], notes: list[str], model: Model) -> None:
    said = prompt_notes(with_prompts(model, "cat", "dog"), prompts)
    assert len(said) == len(notes) and all(line.startswith(note) for line, note in zip(said, notes, strict=True))


def test_a_model_without_prompts_says_that_a_prompt_changes_nothing(model: Model) -> None:
    assert prompt_notes(with_prompts(model, ""), ["cat"]) == [
        "this model was trained without prompts: prompt= changes next to nothing"
    ]


def test_models_of_before_say_nothing(model: Model) -> None:
    model.record.pop("known_prompts")
    assert prompt_notes(model, ["zebra"]) == [] and describe_model(model) == model.modality.description

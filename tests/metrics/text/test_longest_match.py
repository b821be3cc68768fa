import random

import pytest

from genai.metrics.text import longest_match as module
from genai.metrics.text.longest_match import LongestMatch, longest_match_lengths, longest_matches


@pytest.mark.parametrize(
    ("text", "documents", "longest"),
    [
        ("xxhello worldxx", ["say hello world!"], 11),
        ("abc", ["def"], 0),
        ("", ["abc"], 0),
        ("abc", [], 0),
        ("abc", ["ab", "c", "bc"], 2),  # no run goes over the end of a document
        ("same", ["same"], 4),
        ("é🎉 ü", ["a é🎉 u"], 3),
        ("\ud800x", ["\ud800x"], 2),
        ("ababababab", ["abab"], 4),
    ],
)
def test_small_examples(text: str, documents: list[str], longest: int) -> None:
    assert longest_match_lengths([text], documents) == [longest]


def test_equals_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOWS_PER_CHUNK", 7)
    monkeypatch.setattr(module, "FIRST_LENGTH", 5)
    rng = random.Random(0)

    def random_text() -> str:
        return "".join(rng.choices("ab é", k=rng.randint(0, 50)))

    def brute_force(text: str, documents: list[str]) -> int:
        runs = (text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1))
        return max((len(run) for run in runs if any(run in document for document in documents)), default=0)

    for _ in range(40):
        documents, texts = (
            [random_text() for _ in range(rng.randint(0, 3))],
            [random_text() for _ in range(rng.randint(1, 5))],
        )
        assert longest_match_lengths(texts, documents) == [brute_force(text, documents) for text in texts]


def test_all_documents_with_the_longest_run_are_named() -> None:
    documents = ["the cat sat", "a dog and the cat ran", "nothing", "12345"]
    found = longest_matches(["the cat s", "xthe cat b", "xyz 234", "###"], documents)
    assert found == [
        LongestMatch(len("the cat s"), [0]),
        LongestMatch(len("the cat "), [0, 1]),
        LongestMatch(3, [3]),
        LongestMatch(0, []),
    ]


def test_runs_of_equal_length_of_other_texts_are_not_mixed_up() -> None:
    draw = random.Random(3)
    documents = ["".join(draw.choices("ab", k=200)) for _ in range(20)]
    texts = [document[50:90] for document in documents]
    for number, match in enumerate(longest_matches(texts, documents)):
        assert match.length == 40
        assert match.documents == [i for i, document in enumerate(documents) if texts[number] in document]

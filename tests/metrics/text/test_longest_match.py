import random

import pytest

from genai.metrics.text import longest_match as copies
from genai.metrics.text.longest_match import longest_shared


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
def test_constructed_texts(text: str, documents: list[str], longest: int) -> None:
    assert longest_shared([text], documents) == [longest]


def test_the_same_as_looking_at_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "CHUNK", 7)
    monkeypatch.setattr(copies, "FIRST", 5)
    draw = random.Random(0)

    def text() -> str:
        return "".join(draw.choices("ab é", k=draw.randint(0, 50)))

    def slow(text: str, documents: list[str]) -> int:
        runs = (text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1))
        return max((len(run) for run in runs if any(run in document for document in documents)), default=0)

    for _ in range(40):
        documents, texts = [text() for _ in range(draw.randint(0, 3))], [text() for _ in range(draw.randint(1, 5))]
        assert longest_shared(texts, documents) == [slow(each, documents) for each in texts]

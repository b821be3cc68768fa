"""Groups of items by columns, attributes and words, and messages about those that there are not."""

from collections.abc import Sequence

import pytest

from genai.core.data import Example, Source, Split
from genai.core.errors import UserError
from genai.media.picture import Picture
from genai.metrics import groups as module
from genai.metrics.base import EvalContext
from genai.metrics.groups import Grouping, find_groups
from genai.toy.data.image import ToyImages
from tests.stubs import StubModel


class TableSource(Source):
    """Prompts with a column ``speaker``; the last third is held out."""

    media = Picture

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = rows

    @property
    def column_names(self) -> list[str]:
        return ["speaker"] * any(speaker for _, speaker in self.rows)

    @property
    def train(self) -> Split:
        return self._split("train", self.rows[: len(self.rows) * 2 // 3])

    @property
    def val(self) -> Split:
        return self._split("val", self.rows[len(self.rows) * 2 // 3 :])

    def column_values(self, split: Split, name: str) -> list[str]:
        rows = self.rows[: len(split)] if split.name == "train" else self.rows[-len(split) :]
        return [speaker for _, speaker in rows]

    def _split(self, name: str, rows: Sequence[tuple[str, str]]) -> Split:
        prompts = [prompt for prompt, _ in rows]
        return Split(name, len(rows), lambda index: Example(None, prompts[index]), "", prompts)


ROWS = [
    ("one, by Anna", "s1"),
    ("two, by Bert", "s2"),
    ("two, by Anna", "s1"),
    ("one, by Bert", ""),
    ("one, by Anna", "s1"),
]


def group(audit_group: str | list[str], rows: Sequence[tuple[str, str]] = ROWS) -> Grouping:
    return find_groups(EvalContext(StubModel(None), TableSource(rows)), audit_group)  # type: ignore[arg-type]


def test_a_column() -> None:
    found = group("Speaker")
    assert [(each.name, each.train, each.val) for each in found.groups] == [("s1", [0, 2], [1]), ("s2", [1], [])]
    assert (found.column, found.num_train) == ("Speaker", 3)
    assert list(found.of_prompt("three, by ANNA")) == ["s1"] and list(found.of_prompt("two, by nobody")) == []
    first, second = found.groups
    assert found.prompts(first) == ["one, by Anna"]
    assert found.prompts(second) == ["two, by Bert"]  # of training, as none is held out


def test_words_may_be_several_and_groups_may_overlap() -> None:
    found = group(["anna", "two, BY"])
    assert [(each.name, each.train, each.val) for each in found.groups] == [
        ("anna", [0, 2], [1]),
        ("two, BY", [1, 2], []),
    ]
    assert (found.column, found.num_train) == ("words of prompts", 3)
    assert list(found.of_prompt("two by anna")) == ["anna", "two, BY"]
    assert list(found.of_prompt("annabel")) == []


def test_whole_prompts() -> None:
    assert [each.name for each in group("prompt").groups] == [
        "one, by Anna",
        "one, by Bert",
        "two, by Anna",
        "two, by Bert",
    ]


def test_the_largest_groups_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUPS", 2)
    found = group("prompt", [("a", ""), ("b", ""), ("c", ""), ("c", ""), ("a", ""), ("d", ""), ("d", "")])
    assert [each.name for each in found.groups] == ["a", "c"] and found.num_omitted == 2


def test_attributes_of_the_toy_world() -> None:
    context = EvalContext(StubModel(None), source := ToyImages(16, 300))  # type: ignore[arg-type]
    prompts = {split.name: [example.prompt for example in split] for split in (source.train, source.val)}
    context.__dict__ |= {name: type("Packed", (), {"prompts": texts}) for name, texts in prompts.items()}
    found = find_groups(context, "size")
    assert [each.name for each in found.groups] == ["large", "small"]
    large = next(each for each in found.groups if each.name == "large")
    words = ("large", "big", "huge")
    assert large.train == [i for i, text in enumerate(prompts["train"]) if any(word in text for word in words)]
    assert 250 < found.num_train < 300  # some captions do not name it
    assert ToyImages(16, 10).prompt_attributes("nonsense") == {}


@pytest.mark.parametrize(
    ("audit_group", "message"),
    [
        ("speakr", "no such column. Did you mean 'speaker'? There are: prompt, speaker, or words of prompts"),
        (["anna", "berd"], "no prompt has 'berd'. Did you mean 'bert'?"),
        (["anna"], "no two groups"),
        ("", "audit_group= is empty"),
        ([], "audit_group= is empty"),
    ],
)
def test_messages(audit_group: str | list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        group(audit_group)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_data_without_columns_and_prompts() -> None:
    with pytest.raises(UserError, match="neither columns nor prompts"):
        group("speaker", [("", "")] * 6)

"""Groups of items by columns, attributes and words, and messages about those that there are not."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from genai.core.data import Example, Source, Split
from genai.core.errors import UserError
from genai.data.canaries import add_canaries
from genai.media.picture import Picture
from genai.metrics import groups as module
from genai.metrics.audio.prompt_accuracy import _training_attributes
from genai.metrics.base import EvalContext
from genai.metrics.groups import Grouping, find_groups
from genai.metrics.image.classification_accuracy import training_classes
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

    def _split(self, name: str, rows: Sequence[tuple[str, str]]) -> Split:
        prompts = [prompt for prompt, _ in rows]
        speakers = [speaker for _, speaker in rows]
        load = lambda index: Example(None, prompts[index])  # noqa: E731
        return Split(name, len(rows), load, "", prompts, load_column=lambda _: speakers)


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


class Packed:
    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = prompts

    def __len__(self) -> int:
        return len(self.prompts)


class Pictures(TableSource):
    """The same with pictures; prompts are known, or have to be read from the packed data."""

    def __init__(self, rows: Sequence[tuple[str, str]], knows_prompts: bool) -> None:
        super().__init__(rows)
        self.knows_prompts = knows_prompts

    def _split(self, name: str, rows: Sequence[tuple[str, str]]) -> Split:
        split, picture = super()._split(name, rows), Picture(np.zeros((4, 4, 3), np.uint8))
        prompts = split.prompts if self.knows_prompts else None
        return replace(split, load=lambda index: Example(picture, rows[index][0]), prompts=prompts)


@pytest.mark.parametrize("knows_prompts", [True, False])
def test_canaries_are_in_no_group_and_of_no_class(knows_prompts: bool) -> None:
    rows = [("red", "s1"), ("blue", "s2"), ("red", "")] * 20
    planted = add_canaries(Pictures(rows, knows_prompts), 9)
    context = EvalContext(StubModel(None), planted)  # type: ignore[arg-type]
    context.__dict__ |= {
        split.name: Packed([example.prompt for example in split]) for split in (planted.train, planted.val)
    }
    assert len(context.train) == 40 + 9
    for name in ("speaker", "prompt"):
        found, expected = find_groups(context, name), group(name, rows)
        assert found.groups == expected.groups and found.num_train == expected.num_train
    assert list(planted.column_values(planted.train, "speaker")) == [*[speaker for _, speaker in rows[:40]], *[""] * 9]
    assert training_classes(context) == ("blue", "red")
    assert [each.values for each in _training_attributes(context)[1]] == [("blue", "red")]


def test_attributes_of_the_toy_world() -> None:
    context = EvalContext(StubModel(None), source := ToyImages(16, 300))  # type: ignore[arg-type]
    prompts = {split.name: [example.prompt for example in split] for split in (source.train, source.val)}
    context.__dict__ |= {name: Packed(texts) for name, texts in prompts.items()}
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

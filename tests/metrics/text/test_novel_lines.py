from pathlib import Path

import pytest

from genai.data.text import TextFolder
from genai.media.text import Document
from genai.metrics.base import EvalContext, select_metrics
from genai.metrics.text.novel_lines import NovelLines, complete_lines
from genai.modalities.text import Text
from tests.stubs import StubModel

NAMES = [f"name{number:02}" for number in range(40)]


@pytest.fixture
def names(tmp_path: Path) -> TextFolder:
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    return TextFolder(str(tmp_path / "names.txt"), documents="lines")


def context(source: TextFolder, samples: list[str], **options: int) -> EvalContext:
    model = StubModel(Text("bytes"), lambda prompts: [Document(text) for text in samples[: len(prompts)]])
    return EvalContext(model, source, n=len(samples), options=options)  # type: ignore[arg-type]


def test_new_lines_are_counted_beside_those_of_held_out_data(names: TextFolder) -> None:
    trained = str(names.train[0].media)
    result = NovelLines().compute(context(names, [trained, "new", f" {trained} ", "new", ""]))["novel_lines"]
    assert (result.value, result.reference) == (0.5, 1.0)
    assert "4 generated lines, 2 of them different" in result.description


def test_lines_that_are_cut_do_not_count(names: TextFolder) -> None:
    held_out, trained = str(names.val[0].media), str(names.train[0].media)
    result = NovelLines().compute(context(names, [f"{held_out}\n{trained}"], length=13))["novel_lines"]
    assert result.value == 1.0 and "1 generated lines" in result.description
    assert NovelLines().compute(context(names, [f"{held_out}\n{trained}"], length=14))["novel_lines"].value == 0.5
    assert NovelLines().compute(context(names, [held_out], length=6))["novel_lines"].value is None


def test_held_out_lines_may_be_lines_of_the_training_data(tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text("one\n" * 9 + "two\n")
    source = TextFolder(str(tmp_path / "poem.txt"), val_fraction=0.2)
    result = NovelLines().compute(context(source, ["one\nthree\n"]))["novel_lines"]
    assert (result.value, result.reference) == (0.5, 0.5)


def test_it_is_a_default_where_lines_are_documents(names: TextFolder) -> None:
    assert "novel_lines" in select_metrics(None, names, own_data=True)[0]
    assert select_metrics(None, names, own_data=False)[1] == ["novel_lines"]


def test_complete_lines() -> None:
    assert list(complete_lines("a\n\n b \nc")) == ["a", "b", "c"]
    assert list(complete_lines("a\n\n b \nc", has_end=False)) == ["a", "b"]

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from genai.core.errors import UserError
from genai.data.text import Stdlib, TextFolder
from genai.media.text import Document
from genai.metrics.base import EvalContext, select_metrics, supported_metrics
from genai.metrics.text.infill import Gap, Infill, random_gaps
from genai.modalities.text import Text
from tests.stubs import StubModel

MODULE = '''import os


class Pair:
    def add(self):
        """Add them.

        Really.
        """

        total = self.a
        if self.b:
            total += self.b
        return total

    def short(self): return 1

    def one_line(self):
        return 2


async def wait(
    time,
):
    await time
    return time
'''
LINES = {"total = self.a", "if self.b:", "total += self.b", "return total", "await time", "return time"}


@pytest.fixture
def code(tmp_path: Path) -> TextFolder:
    for number in range(12):
        (tmp_path / f"{number}.py").write_text(f"NUMBER = {number}\n{MODULE}")
        (tmp_path / f"{number}.txt").write_text(f"no Python {number}\n" + "def f():\n    x = 1\n    return x\n" * 9)
    return TextFolder(str(tmp_path), val_fraction=0.4)


class Filler(StubModel):
    """A model that writes ``answer(prefix, suffix)`` into gaps."""

    def __init__(self, answer: Callable[[str, str], str]) -> None:
        super().__init__(Text("bytes", reserved=3, infill=0.5))
        self.fill = answer

    def sample(self, prompts: str | Sequence[str], suffix: str | Sequence[str] = "", **options: Any) -> list[Any]:
        assert options["temperature"] == 0.0
        prompts, suffix = [prompts] if isinstance(prompts, str) else prompts, suffix or ""
        return [Document(f"{prompt}{self.fill(prompt, str(suffix))}{suffix}") for prompt in prompts]


def values(source: TextFolder, answer: Callable[[str, str], str]) -> list[float | None]:
    results = Infill().compute(EvalContext(Filler(answer), source, n=40))  # type: ignore[arg-type]
    assert all(result.reference == 1.0 and result.standard_error is not None for result in results.values())
    names = ("exact", "first_line", "first_line_without_suffix", "parses", "parses_without_line")
    return [results[f"infill_{name}"].value for name in names]


def right_gaps(code: TextFolder) -> list[Gap]:
    return random_gaps(code.val, 40, 0)


def test_gaps_are_lines_of_bodies(code: TextFolder) -> None:
    gaps = random_gaps(code.val, 200, 0)
    assert {gap.middle.strip() for gap in gaps} == LINES
    assert gaps == random_gaps(code.val, 200, 0) != random_gaps(code.val, 200, 1)
    documents = {str(example.media) for example in code.val}
    assert all(gap.prefix + gap.middle + gap.suffix in documents for gap in gaps)
    assert all(gap.suffix.startswith("\n") and gap.middle.startswith("\n") for gap in gaps)


def test_the_right_line_is_exact_and_parses(code: TextFolder) -> None:
    right = {(gap.prefix, gap.suffix): gap.middle for gap in right_gaps(code)}
    *shares, empty = values(code, lambda prefix, suffix: right.get((prefix, suffix), "nothing"))
    assert shares == [1.0, 1.0, 0.0, 1.0]
    removed = [gap.middle.strip() for gap in right_gaps(code)]
    needed = ("if self.b:", "total += self.b")  # without one of these lines it is no Python
    assert empty == pytest.approx(1 - sum(line in needed for line in removed) / 40)


def test_spaces_around_do_not_matter_but_more_lines_do(code: TextFolder) -> None:
    right = {(gap.prefix, gap.suffix): gap.middle for gap in right_gaps(code)}
    shares = values(code, lambda prefix, suffix: f" {right.get((prefix, suffix), '')}\n\n")
    assert shares[0] == shares[1] == shares[3] == 1.0
    shares = values(code, lambda prefix, suffix: f"{right.get((prefix, suffix), '')}\n  ) more")
    assert shares[0] == shares[3] == 0.0 and shares[1] == 1.0


def test_the_baseline_has_no_suffix(code: TextFolder) -> None:
    first = {gap.prefix: gap.middle for gap in right_gaps(code)}
    shares = values(code, lambda prefix, suffix: "" if suffix else f"{first[prefix]}  \n and more")
    assert shares[:3] == [0.0, 0.0, 1.0]


def test_text_without_functions_has_no_result(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no Python here\n" * 99)
    source = TextFolder(str(tmp_path))
    result = Infill().compute(EvalContext(Filler(lambda *_: ""), source, n=4))["infill_exact"]  # type: ignore[arg-type]
    assert result.value is None


def test_it_is_a_default_of_models_that_fill_gaps() -> None:
    metrics, _ = select_metrics(None, Stdlib(), own_data=True)
    assert "infill" in metrics
    plain: Any = StubModel(Text("bytes", reserved=3))
    assert supported_metrics(metrics, Filler(lambda *_: ""), True) == metrics  # type: ignore[arg-type]
    assert [*supported_metrics(metrics, plain, True)] == [name for name in metrics if name != "infill"]
    with pytest.raises(UserError, match=r"metrics: 'infill' does not fit, because this model was not trained to fill"):
        supported_metrics(metrics, plain, False)

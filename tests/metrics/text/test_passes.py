"""pass@k on problems whose answers are known."""

import json
import sys
from itertools import combinations
from pathlib import Path

import pytest

from genai.core.data import no_data
from genai.core.errors import UserError
from genai.media.text import Document
from genai.metrics.base import EvalContext
from genai.metrics.text import passes
from genai.metrics.text.code_problems import OWN_PROBLEMS, read_problems
from genai.metrics.text.passes import PassRate, pass_at_k, run_programs
from genai.modalities.text import Text
from tests.stubs import StubModel

pytest.importorskip("pyseccomp")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no sandbox")


def context(answers: list[str], **fields: object) -> EvalContext:
    """Return a context whose model continues its prompts by ``answers`` in turn."""
    turn = iter(answers)
    model = StubModel(Text("bytes", block=16), lambda prompts: [Document(text + next(turn)) for text in prompts])
    return EvalContext(model, no_data(Document), False, **fields)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two problems; the second has no solution."""
    problem = {
        "task_id": "0", "prompt": "def f(x):\n    \"\"\"Add 1.\"\"\"\n", "canonical_solution": "    return x + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n", "entry_point": "f",
    }  # fmt: skip
    (path := tmp_path / "problems.jsonl").write_text(
        f"{json.dumps(problem)}\n{json.dumps({**problem, 'task_id': '1', 'canonical_solution': ''})}\n"
    )
    return path


def test_own_solutions_pass_and_empty_ones_do_not() -> None:
    problems = read_problems(OWN_PROBLEMS)
    solutions = [problem.prompt + problem.canonical_solution for problem in problems]
    assert run_programs(problems, solutions) == ["passed"] * 50
    empty = [problem.prompt for problem in problems]
    constant = [f"{problem.prompt}    return {answer}\n" for problem in problems for answer in ("[]", "True")]
    assert "passed" not in run_programs(problems, empty)
    assert "passed" not in run_programs([problem for problem in problems for _ in range(2)], constant)


def test_samples_are_counted_by_problem(file: Path) -> None:
    right, wrong, odd = "\n    return x + 1", "\n    return x", "\n    return ("
    answers = [right, wrong, odd, right, wrong, *[wrong] * 4, "\n    x.y"]
    results = PassRate().compute(context(answers, n=11, problems=file))
    assert results.keys() == {"pass@1", "pass@5"}
    assert results["pass@1"].value == pytest.approx(0.2) and results["pass@5"].value == pytest.approx(0.5)
    assert results["pass@1"].standard_error == pytest.approx(0.2) and results["pass@1"].reference == 1.0
    assert "2 problems x 5; not passed: 6 wrong, 1 raised, 1 no Python" in results["pass@1"].description
    assert "95 %" in results["pass@5"].description and "95 %" in results["pass@1"].description


def test_each_problem_has_a_sample_and_ends_at_the_usual_strings(file: Path) -> None:
    seen: list[dict[str, object]] = []
    evaluation = context(["\n    return x + 1"] * 4, n=1, problems=file)
    sample = evaluation.model.sample
    evaluation.model.sample = lambda prompts, **options: (seen.append(options), sample(prompts, **options))[1]  # type: ignore
    assert PassRate().compute(evaluation)["pass@1"].value == 1
    assert seen[0]["stop"] == list(passes.STOP)
    evaluation.options = {"stop": ["x"]}
    evaluation._sample_cache.clear()
    PassRate().compute(evaluation)
    assert seen[1]["stop"] == ["x"]


def test_pass_at_k_is_the_share_of_subsets() -> None:
    for num_passed in range(6):
        samples = [True] * num_passed + [False] * (5 - num_passed)
        for k in range(1, 6):
            subsets = list(combinations(samples, k))
            assert pass_at_k(5, num_passed, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_problems_and_sandbox_are_checked_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PassRate().check(context([], problems=file))
    file.write_text("{}")
    with pytest.raises(UserError, match="lacks the field"):
        PassRate().check(context([], problems=file))
    monkeypatch.setattr("genai.sandbox.server.find_spec", lambda name: None)
    with pytest.raises(UserError, match="no code of the model is run"):
        PassRate().check(context([]))

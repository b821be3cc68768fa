"""Code that runs: the share of generated functions that pass their tests, in a sandbox."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genai.core.limits import num_cores
from genai.core.progress import ProgressBar
from genai.media.text import Document
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.intervals import wilson_interval
from genai.metrics.text.code_problems import OWN_PROBLEMS, Problem, read_problems
from genai.sandbox.judge import KINDS, Job, judge_all
from genai.sandbox.server import check_sandbox

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "```")
"""Where a completion ends: the strings of arXiv:2107.03374, section 2.1, and the end of a code block."""
SAMPLES_PER_TRY = (1, 5, 10, 100)
"""The k of pass@k, as far as there are so many samples of each problem."""
KIND_NAMES = {"syntax": "no Python", "time": "out of time", "broken": "not testable"}


class PassRate(Metric):
    """Share of functions that pass the tests of their problems; the reference is the problems' own solutions.

    Programs of a model run in the sandbox of ``genai.sandbox``, or not at all.
    """

    media = Document
    needs_data = False
    uses_problems = True

    def check(self, context: EvalContext) -> None:
        """Raise ``UserError`` if there is no sandbox, or the problems cannot be read."""
        read_problems(problems_file(context))
        check_sandbox()

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``pass@1``, and ``pass@5``, ``pass@10`` and ``pass@100`` where there are so many samples a problem.

        There are ``n // problems`` samples of each problem, or one. The standard error and the interval are over
        problems.
        """
        problems = read_problems(problems_file(context))
        num_samples = max(1, context.n // len(problems))
        repeated = [problem for problem in problems for _ in range(num_samples)]
        prompts = [problem.prompt.rstrip() for problem in repeated]  # many tokenizers join a line break and spaces
        texts = [str(sample) for sample in context.samples(prompts, stop=list(STOP))]
        kinds = run_programs(repeated, texts)
        passed = np.array([kind == "passed" for kind in kinds]).reshape(len(problems), num_samples).sum(1)
        reference = reference_share(problems)
        counts = Counter(kinds)
        failures = ", ".join(f"{counts[kind]} {KIND_NAMES.get(kind, kind)}" for kind in KINDS[1:] if counts[kind])
        results = {}
        for k in SAMPLES_PER_TRY:
            if k <= num_samples:
                scores = [pass_at_k(num_samples, int(count), k) for count in passed]
                what = f"{len(problems)} problems x {num_samples}; not passed: {failures or 'none'}" if k == 1 else ""
                results[f"pass@{k}"] = score_result(scores, k, what, reference)
        return results


def problems_file(context: EvalContext) -> Path:
    """Return the file of the problems."""
    return context.problems or OWN_PROBLEMS


def reference_share(problems: Sequence[Problem]) -> float | None:
    """Return the share of the problems' own solutions that pass; ``None`` if there are none."""
    problems = [problem for problem in problems if problem.canonical_solution]
    kinds = run_programs(problems, [problem.prompt + problem.canonical_solution for problem in problems])
    return kinds.count("passed") / len(kinds) if kinds else None


def run_programs(problems: Sequence[Problem], programs: Sequence[str]) -> list[str]:
    """Return how each program does in the tests of its problem: one of ``KINDS``.

    Equal programs of a problem run once.

    Raises:
        UserError: there is no sandbox.
        RunError: the sandbox has ended.
    """
    jobs = [
        Job(program, problem.entry_point, problem.prompt + problem.canonical_solution, problem.test)
        for problem, program in zip(problems, programs, strict=True)
    ]
    different = list(dict.fromkeys(jobs))
    kinds = {}
    with ProgressBar("tests", len(different)) as bar:
        for job, result in zip(different, judge_all(different, num_cores()), strict=True):
            kinds[job] = result.kind
            bar.step()
    return [kinds[job] for job in jobs]


def pass_at_k(num_samples: int, num_passed: int, k: int) -> float:
    """Return the probability that one of ``k`` samples passes: the unbiased estimate of arXiv:2107.03374, eq. 1."""
    return 1 - math.comb(num_samples - num_passed, k) / math.comb(num_samples, k)


def score_result(scores: Sequence[float], k: int, what: str, reference: float | None) -> Result:
    """Return the mean of the scores of all problems."""
    value, count = sum(scores) / len(scores), len(scores)
    low, high = wilson_interval(value, count)
    subject = "share of samples that pass their tests" if k == 1 else f"share of problems solved by one of {k} samples"
    description = f"{subject} (95 %: {low:.3f} to {high:.3f}, Wilson over problems{what and f'; {what}'})"
    error = float(np.std(scores, ddof=1) / math.sqrt(count)) if count > 1 else None
    return Result(value, description, error, reference)

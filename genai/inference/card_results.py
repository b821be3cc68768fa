"""Sections of a model card with what was measured: scores, groups, copies of training data."""

from collections.abc import Iterator, Sequence

from genai.inference.card_training import FILES
from genai.report.markdown import format_interval, format_number, markdown_table, markdown_text
from genai.runs.evaluation import GROUP_SCORES, GroupScoreRecord, GroupsRecord
from genai.runs.record import CopyingRecord, RunRecord, ScoreRecord

ALARMS = {
    True: "**There is evidence that it copies training data.**",
    False: "No evidence of copies was found. That does not prove that there are none.",
    None: "It could not be tested whether it copies training data.",
}
POSSIBLE_COPIES = (
    "**Copies of training data were found.** It could not be tested whether there are more of them than by chance."
)
BASELINES = {"_shuffled": "with shuffled prompts"}
"""What a score measures whose name is that of another one and this, as a baseline of the other."""
COPYING_SCORES = ("copying", "canaries")
"""Scores whose names begin so stand in the section on copies."""
DISTANCES = ("nearest_train", "longest_copy")
"""Scores that compare samples with training data, and test nothing."""
TABLE_SCORES = 3
"""Scores in a table of groups, so that it fits on a page."""
MEASURE = f"`python -m genai.evaluate ckpt={FILES}`"


def score_lines(record: RunRecord) -> Iterator[str]:
    """Yield the section on scores."""
    scores = {score.name: score for score in record.scores if not score.name.startswith(COPYING_SCORES)}
    if record.best:
        yield f"Lowest validation loss: {record.best.val_loss:.4f}, at step {record.best.step:,}."
        yield ""
    if not scores:
        yield f"Other scores: not measured. {MEASURE} measures them."
        return
    if record.evaluation and isinstance(count := record.evaluation.get("n"), int):
        yield f"Measured with n={count:,} samples; losses on all held-out data."
        yield ""
    baselines = {name: _baselines(name, scores) for name in scores}
    used = {name + suffix for name in scores for suffix in BASELINES if name + suffix in scores}
    rows = [
        (
            markdown_text(name),
            format_interval(score.value, score.standard_error) or "not measurable",
            baselines[name] or "none",
            markdown_text(score.description) or "not described",
        )
        for name, score in scores.items()
        if name not in used
    ]
    yield from markdown_table(("score", "value ± 1.96 standard errors", "baseline", "meaning"), rows)
    yield ""
    yield "A value without ± has no known error. ± 0: all samples were alike, which does not make the value certain."


def _baselines(name: str, scores: dict[str, ScoreRecord]) -> str:
    """Return what else was measured in the same way: on real data, with shuffled prompts."""
    reference = scores[name].reference
    parts = [] if reference is None else [f"{reference:.3g} on real data"]
    for suffix, description in BASELINES.items():
        if (other := scores.get(name + suffix)) and other.value is not None:
            parts.append(f"{other.value:.3g} {description}")
    return ", ".join(parts)


def group_lines(groups: GroupsRecord | None) -> Iterator[str]:
    """Yield the section on groups."""
    if groups is None:
        command = f"{MEASURE[:-1]} audit_group=COLUMN`"
        yield f"Not measured: no groups, such as speakers, were named. {command} measures them."
        return
    yield f"Scores by {markdown_text(groups.column) or 'group'}, with 95 % intervals:"
    names = list(dict.fromkeys(name for group in groups.groups for name in group.scores))
    for begin in range(0, max(1, len(names)), TABLE_SCORES):
        part = names[begin : begin + TABLE_SCORES]
        head = ("group", "training items", "held-out items", *map(markdown_text, part))
        rows = [
            (
                markdown_text(group.name) or "(no name)",
                _count(group.train_items),
                _count(group.held_out_items),
                *(_format_score(group.scores.get(name)) for name in part),
            )
            for group in groups.groups
        ]
        yield ""
        yield from markdown_table(head, rows)
    if groups.worst_to_best:
        rows = [
            (markdown_text(name), _format_score(score), *(markdown_text(x) or "-" for x in (score.worst, score.best)))
            for name, score in groups.worst_to_best.items()
        ]
        yield ""
        yield from markdown_table(("score", "worst group to best group; 1: alike", "worst", "best"), rows)
    descriptions = [f"- {name}: {meaning}." for name, meaning in GROUP_SCORES.items() if name in names]
    notes = [f"- Note: {markdown_text(note)}" for note in groups.notes]
    yield from ["", *descriptions, *notes] if descriptions or notes else []


def _format_score(score: GroupScoreRecord | None) -> str:
    if score is None or score.value is None:
        return "not measured"
    has_interval = score.low is not None and score.high is not None
    interval = f" ({format_number(score.low)} to {format_number(score.high)})" if has_interval else ""
    return f"{format_number(score.value)}{interval}"


def _count(value: int | None) -> str:
    return "not recorded" if value is None else format_number(value)


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1%}" if value <= 1 else format_number(value)


def copying_lines(copying: CopyingRecord | None, all_scores: Sequence[ScoreRecord]) -> Iterator[str]:
    """Yield the section on copies of training data."""
    scores = [score for score in all_scores if score.name.startswith(COPYING_SCORES)]
    if copying is None and not scores:
        distances = [markdown_text(score.name) for score in all_scores if score.name in DISTANCES]
        yield f"Not measured for these weights. {MEASURE[:-1]} metrics=[copying]` measures it."
        if distances:
            yield f"Scores above tell how near samples are to training data: {', '.join(distances)}."
        return
    if copying is not None:
        yield POSSIBLE_COPIES if copying.has_possible_copies else ALARMS[copying.alarm]
        values = {
            "samples": _count(copying.samples),
            "copies among them": _share(copying.copies),
            "nearer to a training item than to a held-out one": _share(copying.nearer_train),
            "p-value of that": _optional(copying.p),
            "items compared": f"{_count(copying.train_items)} for training, {_count(copying.held_out_items)} held out",
            "canaries planted": _count(copying.canaries),
            "p-value of canaries": _optional(copying.canaries_p),
        }
        yield ""
        yield from markdown_table(("", ""), values.items())
        if copying.note:
            yield from ("", f"Note: {markdown_text(copying.note)}")
    if scores:
        rows = [
            (markdown_text(s.name), format_interval(s.value, s.standard_error), markdown_text(s.description))
            for s in scores
        ]
        yield ""
        yield from markdown_table(("score", "value ± 1.96 standard errors", "meaning"), rows)


def _optional(value: float | None) -> str:
    return "not measured" if value is None else format_number(value)

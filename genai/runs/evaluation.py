"""Scores by group, in the record of an evaluation, which may be a stranger's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Le

from genai.core.errors import UserError, short_text

MAX_GROUPS, MAX_GROUP_SCORES = 50, 12
"""Groups, and scores of each, that are read."""
MAX_NOTES, MAX_NOTE_LENGTH = 12, 2_000
"""Sentences, and characters of all, of a note that are read."""
GROUP_SCORES = {
    "loss": "mean loss of held-out items; lower is better. It also depends on what is in the items of a group",
    "obedience": "share of samples that are as their prompts of the group say",
    "obedience_of_real": "the same of held-out items: what it recognizes if nothing is wrong",
    "coverage": "share of held-out items with a sample as near as their 5th neighbor",
    "balance": "share of the group in samples without a prompt / share in training; 1: alike",
}
"""Meaning of the scores of groups that ``genai.metrics.audit`` computes."""
Count = Annotated[int, Ge(0), Le(2**62)]
T = TypeVar("T")


@dataclass(frozen=True)
class GroupScoreRecord:
    """A value with its 95 % interval; for a comparison also the names of the two groups."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    worst: str = ""
    best: str = ""


@dataclass(frozen=True)
class GroupRecord:
    """Scores of the items of a group, by name."""

    name: str = ""
    train_items: Count | None = None
    held_out_items: Count | None = None
    scores: dict[str, GroupScoreRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupsRecord:
    """Scores by group.

    Attributes:
        column: what the groups are values of.
        groups: at most ``MAX_GROUPS``.
        worst_to_best: of each score, the ratio of the worst group to the best one.
        notes: sentences for people.
    """

    column: str = ""
    groups: list[GroupRecord] = field(default_factory=list)
    worst_to_best: dict[str, GroupScoreRecord] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_fitting(cls: type[T], values: Any) -> T | None:
    """Build a dataclass from those values that have its types; others keep their defaults. ``None`` if none fits."""
    from genai.core.instantiate import validate_value  # imports pydantic, for which --help has no time

    if not isinstance(values, Mapping):
        return None
    fitting = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        try:
            value = validate_value(values[name], hint, name) if name in values else None
        except UserError:
            continue
        if value is not None:
            fitting[name] = short_text(value) if isinstance(value, str) else value
    return cls(**fitting) if fitting else None


def read_groups(values: Any) -> GroupsRecord | None:
    """Return the scores by group; ``None``: there are none."""
    groups = values.get("groups") if isinstance(values, Mapping) else None
    if not isinstance(groups, list) or not groups:
        return None
    return GroupsRecord(
        _text(values, "column"),
        [_read_group(group) for group in groups[:MAX_GROUPS] if isinstance(group, Mapping)],
        _read_scores(values.get("worst_to_best")),
        [short_text(note) for note in _notes(values.get("notes", values.get("note")))],
    )


def _notes(value: Any) -> list[str]:
    """Return the notes, at most ``MAX_NOTES``: a list, or the sentences of one text."""
    if isinstance(value, list):
        return [note for note in value[:MAX_NOTES] if isinstance(note, str)]
    text = value[:MAX_NOTE_LENGTH].strip() if isinstance(value, str) else ""
    return re.split(r"(?<=[.!?])\s+", text)[:MAX_NOTES] if text else []


def _read_group(values: Mapping[str, Any]) -> GroupRecord:
    counts = read_fitting(GroupRecord, {**values, "scores": None}) or GroupRecord()
    return GroupRecord(counts.name, counts.train_items, counts.held_out_items, _read_scores(values.get("scores")))


def _read_scores(values: Any) -> dict[str, GroupScoreRecord]:
    scores = list(values.items())[:MAX_GROUP_SCORES] if isinstance(values, Mapping) else []
    records = {short_text(name): read_fitting(GroupScoreRecord, score) for name, score in scores}
    return {name: record for name, record in records.items() if record}


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return short_text(value) if isinstance(value, str) else ""

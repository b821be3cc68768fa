"""Scores by group in the record of an evaluation."""

from typing import Any

import pytest

from genai.runs.evaluation import MAX_NOTES, read_groups


@pytest.mark.parametrize(
    ("entries", "notes"),
    [
        ({"notes": ["loss: too few to say of St. Ives (fewer than 10).", 3, "so"]}, ["St. Ives", "so"]),
        ({"note": "Few items. loss: too few to say of ben."}, ["Few items.", "of ben."]),
        ({"notes": ["a"] * 99}, ["a"] * MAX_NOTES),
        ({"notes": {"a": 1}}, []),
        ({}, []),
    ],
)
def test_notes_are_a_list_or_sentences(entries: dict[str, Any], notes: list[str]) -> None:
    found = read_groups({"column": "town", "groups": [{"name": "St. Ives"}], **entries})
    assert found and len(found.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, found.notes, strict=True))

"""Files that are left out by the value of a column: ``data.exclude={style: openmoji}``."""

from collections import Counter
from collections.abc import Sequence

from genai.core.errors import UserError, did_you_mean, join_names, short_text
from genai.core.terminal import printable
from genai.data.caption_table import normalize_column
from genai.data.item import Item

ColumnValue = str | int | float
ExcludedValues = dict[str, ColumnValue | list[ColumnValue]]
"""Values that are left out, by the names of columns."""
MAX_LISTED_VALUES = 8


def exclude_items(items: Sequence[Item], exclude: ExcludedValues) -> tuple[list[Item], list[Item], str]:
    """Return the items that have none of the values, those that are left out, and a line about these; "" for none.

    Raises:
        UserError: there is no such column, or no item has one of the values.
    """
    remaining, excluded, notes = list(items), list[Item](), list[str]()
    for name, values in exclude.items():
        column = normalize_column(name)
        counts = Counter(value for item in items if (value := item.columns.get(column)))
        if not counts:
            columns = sorted({key for item in items for key in item.columns})
            known = f" There are: {join_names(columns)}." if columns else " Only tables and sub-folders give columns."
            raise UserError(
                f"data.exclude={short_text(name)}: no file has a value in this column."
                f"{did_you_mean(column, columns)}{known}"
            )
        texts = [_plain_text(value) for value in (values if isinstance(values, list) else [values])]
        for text in texts:
            if text not in counts:
                listed = [short_text(value) for value, _ in counts.most_common(MAX_LISTED_VALUES)]
                more = ", ..." * (len(counts) > len(listed))
                raise UserError(
                    f"data.exclude={short_text(name)}: no file has the value {short_text(text)!r}."
                    f"{did_you_mean(text, counts)} There are: {', '.join(listed)}{more}."
                )
        matches = [item for item in remaining if item.columns.get(column) in texts]
        remaining = [item for item in remaining if item.columns.get(column) not in texts]
        excluded += matches
        notes.append(f"{len(matches):,} left out ({column}: {', '.join(map(short_text, texts))})")
    return remaining, excluded, ", ".join(notes)


def _plain_text(value: ColumnValue) -> str:
    """Return a value as columns have it."""
    return " ".join(printable(str(value)).split())

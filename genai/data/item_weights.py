"""Weights by the value of a column: ``data.weights={folder: {dogs: 3}}`` draws these three times as often."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

from annotated_types import Gt, Le

from genai.core.errors import UserError, did_you_mean, join_names, short_text
from genai.data.caption_table import normalize_column
from genai.data.item import Item

ItemWeights = dict[str, dict[str, Annotated[float, Gt(0), Le(1000)]]]
"""Weights by the names of columns and their values; other values have the weight 1."""
MAX_LISTED_VALUES = 8


def item_weights(items: Sequence[Item], weights: ItemWeights) -> list[float]:
    """Return the weight of each item, the product over its columns; an empty list if all have the weight 1.

    Raises:
        UserError: there is no such column, or no item has one of the values.
    """
    products = [1.0] * len(items)
    for name, by_value in weights.items():
        column = normalize_column(name)
        counts = Counter(value for item in items if (value := item.columns.get(column)))
        _check_values(name, column, by_value, counts, sorted({key for item in items for key in item.columns}))
        products = [
            product * by_value.get(item.columns.get(column, ""), 1.0)
            for product, item in zip(products, items, strict=True)
        ]
    return products if any(product != 1 for product in products) else []


def describe_weights(items: Sequence[Item], products: Sequence[float], weights: ItemWeights) -> str:
    """Say what part of the examples that training draws has each weighted value; "" without weights."""
    total = sum(products)
    parts = []
    for name, by_value in weights.items() if total else ():
        column = normalize_column(name)
        for value, weight in by_value.items():
            rows = zip(items, products, strict=True)
            share = sum(product for item, product in rows if item.columns.get(column) == value) / total
            parts.append(f"{short_text(value)} x {weight:g} ({share:.0%} of what is drawn)")
    return f"weights of {join_names(map(normalize_column, weights))}: {', '.join(parts)}" if parts else ""


def _check_values(
    name: str, column: str, by_value: Mapping[str, float], counts: Mapping[str, int], columns: Sequence[str]
) -> None:
    if not counts:
        known = f" There are: {join_names(columns)}." if columns else " Only tables and sub-folders give columns."
        raise UserError(
            f"data.weights={short_text(name)}: no training file has a value in this column."
            f"{did_you_mean(column, columns)}{known}"
        )
    for value in by_value:
        if value not in counts:
            listed = [short_text(each) for each in sorted(counts, key=lambda each: -counts[each])]
            more = ", ..." * (len(listed) > MAX_LISTED_VALUES)
            raise UserError(
                f"data.weights={short_text(name)}: no training file has the value {short_text(value)!r}."
                f"{did_you_mean(value, counts)} There are: {', '.join(listed[:MAX_LISTED_VALUES])}{more}."
            )

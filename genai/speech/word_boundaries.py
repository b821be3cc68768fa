"""Which phones of a clause belong to which word.

Dictionaries say common words in one: ``of the`` is "ʌvðə". The phones are divided where they fit best what each word
sounds like alone (Levenshtein distance).
"""

from collections.abc import Sequence

from genai.speech.phones import Phone

_GAP, _SUBSTITUTION = 1.0, 1.2
"""Costs of a phone that one side lacks, and of two that differ: cheaper than two gaps."""


def divide_phones(clause: Sequence[Phone], separate: Sequence[Sequence[Phone]]) -> list[tuple[Phone, ...]]:
    """Divide the phones of a clause among its words.

    Args:
        clause: all phones, in order.
        separate: for each word, the phones that it has alone.

    Returns:
        phones for each word; where a word got none, each word has those that it has alone.
    """
    owners = [index for index, phones in enumerate(separate) for _ in phones]
    phones = [phone for word in separate for phone in word]
    columns = len(phones) + 1
    costs = [[_GAP * column for column in range(columns)]]  # (clause + 1, separate + 1)
    for row, phone in enumerate(clause, 1):
        above, current = costs[-1], [_GAP * row]
        for column, other in enumerate(phones, 1):
            same = 0.0 if phone.symbol == other.symbol else _SUBSTITUTION
            current.append(min(above[column - 1] + same, above[column] + _GAP, current[-1] + _GAP))
        costs.append(current)
    parts: list[list[Phone]] = [[] for _ in separate]
    row, column = len(clause), len(phones)
    while row:
        phone, cost = clause[row - 1], costs[row][column]
        if column:
            same = 0.0 if phone.symbol == phones[column - 1].symbol else _SUBSTITUTION
            if abs(cost - costs[row - 1][column - 1] - same) < 1e-6:
                row, column = row - 1, column - 1
                parts[owners[column]].insert(0, phone)
                continue
            if abs(cost - costs[row][column - 1] - _GAP) < 1e-6:
                column -= 1
                continue
        row -= 1  # a phone that no word has alone: of the word before it
        if owners:
            parts[owners[max(0, column - 1)]].insert(0, phone)
    if any(not part and word for part, word in zip(parts, separate, strict=True)):
        return [tuple(word) for word in separate]
    return [tuple(part) for part in parts]

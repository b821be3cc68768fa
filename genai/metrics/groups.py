"""Groups of items: those with one value in a column, or with a word in their prompts."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from genai.core.data import Source, packed_prompts
from genai.core.errors import UserError, did_you_mean, join_names, short_repr
from genai.metrics.base import EvalContext

MAX_GROUPS = 20
"""Groups that are compared; the largest ones."""
PROMPT_COLUMN = "prompt"
"""Column of whole prompts, for prompts that are names of classes."""

Groups = Callable[[str], Iterable[str]]


@dataclass
class Group:
    """The items of a group, by their indices in the splits.

    Attributes:
        name: value of the column, or word.
        train, val: indices of its training and of its held-out items.
    """

    name: str
    train: list[int] = field(default_factory=list)
    val: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Grouping:
    """The groups of a data set.

    Attributes:
        column: what the groups are values of.
        groups: in the order in which they were named, or by name.
        train_prompts, val_prompts: prompts of all items of the splits.
        of_prompt: returns the names of the groups that a prompt belongs to; none if a prompt does not tell.
        num_train: number of training items of which it is known what groups they are in.
        num_omitted: number of groups that are too many.
    """

    column: str
    groups: Sequence[Group]
    train_prompts: Sequence[str]
    val_prompts: Sequence[str]
    of_prompt: Groups
    num_train: int
    num_omitted: int = 0

    def prompts(self, group: Group) -> list[str]:
        """Return the prompts of its held-out items, or of its training items if there are none."""
        return [self.val_prompts[index] for index in group.val] or [self.train_prompts[index] for index in group.train]


def find_groups(context: EvalContext, audit_group: str | Sequence[str]) -> Grouping:
    """Find the groups.

    Args:
        audit_group: name of a column or of an attribute of prompts, ``prompt``; or words of prompts.

    Raises:
        UserError: there is no such column, no item has one of the words, or there is only one group.
    """
    if not audit_group:
        raise UserError("audit_group= is empty: name a column, or words of prompts as audit_group='[WORD, WORD]'.")
    source, prompts = context.source, _split_prompts(context)
    column = audit_group if isinstance(audit_group, str) else "words of prompts"
    if isinstance(audit_group, str):
        values, of_prompt = _named_values(source, audit_group, prompts)
    else:
        of_prompt = lambda prompt: _words_in(prompt, audit_group)  # noqa: E731
        values = {name: [_words_in(prompt, audit_group) for prompt in texts] for name, texts in prompts.items()}
    counts = Counter(name for rows in values["train"] for name in rows)
    counts.update({name: 0 for rows in values["val"] for name in rows})
    names = [name for name, _ in counts.most_common(MAX_GROUPS)]
    if not isinstance(audit_group, str) and (unknown := [word for word in audit_group if word not in counts]):
        raise UserError(f"audit_group: no prompt has {short_repr(unknown[0])}.{_similar_word(unknown[0], prompts)}")
    if len(names) < 2:
        raise UserError(f"audit_group={_option_text(audit_group)}: there are no two groups to compare.")
    names = sorted(names) if isinstance(audit_group, str) else list(dict.fromkeys(audit_group))[:MAX_GROUPS]
    groups = {name: Group(name) for name in names}
    for split in ("train", "val"):
        for index, row in enumerate(values[split]):
            for name in dict.fromkeys(row):
                if name in groups:
                    getattr(groups[name], split).append(index)
    num_train = sum(map(bool, values["train"])) if isinstance(audit_group, str) else len(values["train"])
    omitted = len(counts) - len(names)
    return Grouping(column, list(groups.values()), prompts["train"], prompts["val"], of_prompt, num_train, omitted)


def _split_prompts(context: EvalContext) -> dict[str, Sequence[str]]:
    """Return the prompts of all items, by the name of the split; "" for items without."""
    return {
        split.name: split.prompts
        if split.prompts is not None
        else packed_prompts(context.train if split.name == "train" else context.val) or [""] * len(split)
        for split in (context.source.train, context.source.val)
    }


def _named_values(
    source: Source, name: str, prompts: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[list[str]]], Groups]:
    """Return the values of a column or attribute for each item, by split, and the groups of a prompt."""
    splits = {"train": source.train, "val": source.val}
    column = name.strip().casefold().replace(" ", "_").replace("-", "_")
    if column in source.column_names or name in source.column_names:
        column = column if column in source.column_names else name
        texts = {key: source.column_values(split, column) for key, split in splits.items()}
        values = {key: [[text] if text else [] for text in row] for key, row in texts.items()}
        return values, _marker_words(values["train"], prompts["train"])
    if name == PROMPT_COLUMN and any(prompts["train"]):
        of_prompt: Groups = lambda prompt: [prompt] if prompt else []  # noqa: E731
    elif name in source.prompt_attributes(next(filter(None, prompts["train"]), "")):
        of_prompt = lambda prompt: source.prompt_attributes(prompt).get(name, ())  # noqa: E731
    else:
        raise UserError(_unknown_column(source, name, prompts["train"]))
    return {key: [list(of_prompt(prompt)) for prompt in prompts[key]] for key in splits}, of_prompt


def _unknown_column(source: Source, name: str, prompts: Sequence[str]) -> str:
    """Return the message that there is no such column, with the names of those that there are."""
    first = next(filter(None, prompts), "")
    names = [*source.column_names, *source.prompt_attributes(first), *[PROMPT_COLUMN] * bool(first)]
    if not names:
        return f"audit_group={name}: these data have neither columns nor prompts, so there are no groups."
    words = ", or words of prompts as audit_group='[WORD, WORD]'" if first else ""
    hint = did_you_mean(name, names)
    return f"audit_group={name}: there is no such column.{hint} There are: {join_names(names)}{words}."


def _marker_words(values: Sequence[Sequence[str]], prompts: Sequence[str]) -> Groups:
    """Return how prompts tell the group: by a word that all prompts of a group have, and no others."""
    sizes = Counter(row[0] for row in values if row)
    totals = Counter(word for prompt in prompts for word in set(split_words(prompt)))
    pairs = Counter(
        (word, row[0]) for row, prompt in zip(values, prompts, strict=True) if row for word in set(split_words(prompt))
    )
    markers = {word: group for (word, group), count in pairs.items() if count == totals[word] == sizes[group]}
    return lambda prompt: dict.fromkeys(markers[word] for word in split_words(prompt) if word in markers)


def split_words(text: str) -> list[str]:
    """Return the words of a prompt in lower case."""
    return re.findall(r"\w+", text.casefold())


def _words_in(prompt: str, names: Sequence[str]) -> list[str]:
    """Return those of ``names``, each of one word or several, that are in the prompt."""
    text = f" {' '.join(split_words(prompt))} "
    return [name for name in names if f" {' '.join(split_words(name))} " in text]


def _similar_word(word: str, prompts: Mapping[str, Sequence[str]]) -> str:
    return did_you_mean(word, dict.fromkeys(each for prompt in prompts["train"] for each in split_words(prompt)))


def _option_text(audit_group: str | Sequence[str]) -> str:
    return audit_group if isinstance(audit_group, str) else f"[{', '.join(audit_group)}]"

"""Prompts of packed examples: texts, or captions of which one is drawn in each epoch."""

from collections.abc import Iterable, Sequence
from typing import Any

from genai.core.caption_choice import Caption, TagDropout, draw_caption, whole_text
from genai.core.data import Example, ItemRandom


class PackedCaptions(list[str]):
    """The prompt of each item; of several captions the first.

    Args:
        entries: of the index of a packed data set, as ``pack_prompt`` returns them.
        tag_dropout: drops tags of the captions that are drawn; ``None``: nothing is dropped.
    """

    def __init__(self, entries: Iterable[Any], tag_dropout: TagDropout | None = None) -> None:
        super().__init__()
        self.tag_dropout = tag_dropout
        self._choices: dict[int, list[Caption]] = {}
        for index, entry in enumerate(entries):
            if _is_choice(entry):
                self._choices[index] = [part if isinstance(part, str) else tuple(part) for part in entry]
                entry = whole_text(self._choices[index][0])
            self.append(entry)

    @property
    def captions(self) -> list[str]:
        """All captions of all items, with all of their keywords."""
        choices = (self._choices.get(index, [prompt]) for index, prompt in enumerate(self))
        return [whole_text(caption) for captions in choices for caption in captions]

    def draw(self, items: Sequence[int], random: ItemRandom | None) -> list[str]:
        """Return the prompts of ``items``, drawn from their captions; ``random=None``: the first ones.

        Args:
            items: one, or the same number of them, for each index of ``random``.
            random: what draws them.
        """
        if random is None or not (self._choices or self.tag_dropout):
            return [self[item] for item in items]
        numbers = random.uniform(2 * (len(items) // len(random.indices)), "caption").reshape(-1, 2)
        return [
            draw_caption(self._choices.get(item) or [self[item]], row, self.tag_dropout)
            for item, row in zip(items, numbers, strict=True)
        ]


def pack_prompt(example: Example) -> str | list[Caption]:
    """Return the prompt of an example, or its captions, as plain values for an index."""
    return list(example.captions) or example.prompt


def _is_choice(entry: Any) -> bool:
    """Return whether an entry of an index is a list of captions."""
    is_texts = lambda value: isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)  # noqa: E731
    return (
        isinstance(entry, list)
        and bool(entry)
        and all(isinstance(part, str) or (is_texts(part) and len(part) > 0) for part in entry)
    )

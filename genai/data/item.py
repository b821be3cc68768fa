"""A file of a folder, with what is known of it before it is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from genai.core.caption_choice import Caption, all_texts, replace_texts, whole_text
from genai.data.parts import Part
from genai.data.personal_filter import PersonalFilter


@dataclass(frozen=True)
class Item:
    """A file with its prompt.

    Attributes:
        file: path of the file.
        prompt: the text that describes it.
        is_val: whether it is validation data; ``None`` if the data set has no predefined split.
        part: the part of the file; ``None``: all of it.
        columns: what is known of it besides, by the names of columns.
        captions: of which the prompt is drawn in each epoch, the first of them is ``prompt``; empty: always ``prompt``.
    """

    file: Path
    prompt: str
    is_val: bool | None = None
    part: Part | None = None
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)
    captions: tuple[Caption, ...] = ()

    def filter_captions(self, personal: PersonalFilter) -> "Item | None":
        """Return it with captions as ``personal`` has them; ``None`` if it is left out."""
        texts = personal.apply_all(all_texts(self.captions) or [self.prompt])
        if texts is None:
            return None
        if not self.captions:
            return replace(self, prompt=texts[0])
        captions = replace_texts(self.captions, texts)
        return replace(self, prompt=whole_text(captions[0]), captions=captions)


def filter_items(items: Iterable[Item], personal: PersonalFilter) -> list[Item]:
    """Return the items that are used, with captions as ``personal`` has them."""
    return [used for item in items if (used := item.filter_captions(personal)) is not None]

"""Personal data in documents, captions and conversations: counted, masked, or left out with what they stand in."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from genai.core.data import Example
from genai.core.errors import UserError
from genai.core.personal_record import PersonalRecord
from genai.media.text import Document
from genai.trust.personal_data import FINDER_VERSION, KINDS, PersonalDataReport

PersonalMode = Literal["report", "mask", "drop"]


class PersonalFilter:
    """What ``data.personal=`` says, applied to one text after another.

    Args:
        mode: ``report``: count finds; ``mask``: write their kind in their places, such as ``[mail]``; ``drop``: leave
            out texts with finds; ``None``: search nothing.
        item_name: what is searched, in the singular, such as ``caption``.
    """

    def __init__(self, mode: PersonalMode | None, item_name: str = "text") -> None:
        self.mode, self.item_name = mode, item_name
        self.report = PersonalDataReport()

    def apply(self, text: str) -> str | None:
        """Return a text as it is used; ``None`` if it is left out."""
        texts = self.apply_all([text])
        return None if texts is None else texts[0]

    def apply_all(self, texts: Sequence[str]) -> list[str] | None:
        """Return the texts of one item as they are used; ``None`` if it is left out."""
        if self.mode is None:
            return list(texts)
        before = self.report.num_texts
        changed = [self.report.mask(text) for text in texts]
        has_finds = self.report.num_texts > before
        self.report.num_texts = before + has_finds
        if self.mode == "mask":
            return changed
        return None if has_finds and self.mode == "drop" else list(texts)

    def apply_to_example(self, example: Example) -> Example | UserError:
        """Return an example whose prompt, and text if it is one, are as they are used; an error if it is left out."""
        if self.mode is None:
            return example
        media: Any = example.media
        texts = self.apply_all([example.prompt, media] if isinstance(media, str) else [example.prompt])
        if texts is None:
            return self.left_out
        if self.mode == "report":
            return example
        return replace(example, prompt=texts[0], media=Document(texts[1]) if isinstance(media, str) else media)

    @property
    def left_out(self) -> UserError:
        """Why an item is not used."""
        article = "an" if self.item_name[0] in "aeiou" else "a"
        return UserError(f"{article} {self.item_name} with personal data is left out.")

    @property
    def record(self) -> PersonalRecord | None:
        """What was found so far, and what is done about it; ``None`` if nothing is searched."""
        if self.mode is None:
            return None
        report, counts = self.report, {kind: self.report.counts[kind] for kind in KINDS if self.report.counts[kind]}
        return PersonalRecord(self.mode, self.item_name, report.num_texts, counts, report.examples)

    def read(self, examples: Iterator[Example | UserError]) -> Iterator[Example | UserError | PersonalRecord]:
        """Yield examples as they are used, errors as they are, and at the end what was found in them."""
        for example in examples:
            yield self.apply_to_example(example) if isinstance(example, Example) else example
        if record := self.record:
            yield record


def personal_stamp(mode: PersonalMode | None) -> list[Any]:
    """Return what the content of a part depends on, for its stamp."""
    return [mode, FINDER_VERSION] if mode in ("mask", "drop") else []

"""What a search for personal data has found in a data set, and what was done about it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

DONE = {"report": "found", "mask": "masked", "drop": "left out"}
"""What is done by ``data.personal=``, for people."""
MAX_EXAMPLES, MAX_KINDS, MAX_CHARACTERS = 3, 20, 500
"""Masked examples of each kind, kinds, and characters of each text of a record."""


@dataclass(frozen=True)
class PersonalRecord:
    """Finds in the texts of a data set. Texts in it hold no personal data.

    Attributes:
        mode: ``report``, ``mask`` or ``drop``.
        item_name: what was searched, in the singular, such as ``caption``.
        num_texts: number of texts with finds.
        counts: number of finds by kind.
        examples: masked examples by kind.

    Raises:
        ValueError: another mode, or more or longer texts than a search gives.
    """

    mode: str
    item_name: str = "text"
    num_texts: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = [self.item_name, *self.counts, *self.examples, *chain.from_iterable(self.examples.values())]
        if self.mode not in DONE or len(self.counts) > MAX_KINDS or len(texts) > 1 + MAX_KINDS * (2 + MAX_EXAMPLES):
            raise ValueError(f"personal should have a mode of {', '.join(DONE)}, and at most {MAX_KINDS} kinds")
        if max(map(len, texts)) > MAX_CHARACTERS:
            raise ValueError(f"texts of personal should have at most {MAX_CHARACTERS} characters")

    def __str__(self) -> str:
        """Describe it: ``personal data (3 mail, 1 phone) in 2 captions, masked``."""
        if not self.num_texts:
            return "no personal data found"
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        items = f"{self.num_texts:,} {self.item_name}{'s' * (self.num_texts != 1)}"
        return f"personal data ({counts}) in {items}" + f", {DONE[self.mode]}" * (self.mode != "report")

    @property
    def notes(self) -> list[str]:
        """A line of masked examples for each kind that was found."""
        return [f"personal data, {kind}: such as {', '.join(texts)}" for kind, texts in self.examples.items()]


def join_records(records: Iterable[PersonalRecord | None]) -> PersonalRecord | None:
    """Add up the records of the parts of a data set; ``None`` if nothing was searched."""
    known = [record for record in records if record]
    if not known:
        return None
    counts, examples = Counter[str](), dict[str, list[str]]()
    for record in known:
        counts.update(record.counts)
        for kind, texts in record.examples.items():
            examples[kind] = list(dict.fromkeys([*examples.get(kind, []), *texts]))[:MAX_EXAMPLES]
    num_texts = sum(record.num_texts for record in known)
    return PersonalRecord(known[0].mode, known[0].item_name, num_texts, dict(counts), examples)

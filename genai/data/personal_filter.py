"""Personal data in documents and captions: counted, masked, or left out with what they stand in."""

from collections.abc import Iterator
from typing import Literal

from genai.trust.personal_data import PersonalDataReport

PersonalMode = Literal["report", "mask", "drop"]


class PersonalFilter:
    """What ``data.personal=`` says, applied to one text after another.

    Args:
        mode: ``report``: count finds; ``mask``: write their kind in their places, such as ``[mail]``; ``drop``: leave
            out texts with finds; ``None``: search nothing.
    """

    def __init__(self, mode: PersonalMode | None) -> None:
        self.mode = mode
        self.report = PersonalDataReport()

    def apply(self, text: str) -> str | None:
        """Return a text as it is used; ``None`` if it is left out."""
        if self.mode is None:
            return text
        if self.mode == "mask":
            return self.report.mask(text)
        return None if self.report.add(text) and self.mode == "drop" else text

    def describe(self, item_name: str) -> str:
        """Return what was found and done, for the description of a source; "" if nothing was searched."""
        if self.mode is None:
            return ""
        done = {"report": "found", "mask": "masked", "drop": "left out"}[self.mode]
        count = self.report.num_texts
        items = f"{count:,} {item_name}{'s' * (count != 1)}"
        if not count:
            return "; no personal data found"
        return f"; personal data ({self.report}) in {items}" + f", {done}" * (self.mode != "report")

    def notes(self) -> Iterator[str]:
        """Yield a line of masked examples for each kind that was found."""
        for kind, examples in self.report.examples.items():
            yield f"personal data, {kind}: such as {', '.join(examples)}"

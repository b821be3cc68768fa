"""Judges of single samples: is it as its prompt says, and what is it?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class Judge(ABC):
    """Recognizes what is in a sample: an oracle, or a classifier that was trained on real items."""

    @abstractmethod
    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        """Return whether each sample is as its prompt says; ``None`` where the prompt says nothing it recognizes."""

    @abstractmethod
    def caption(self, samples: list[Any]) -> list[str]:
        """Return a prompt for each sample that describes what is recognized; "" if nothing is."""

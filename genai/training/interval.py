"""An interval in steps or in seconds: ``200`` or ``"60s"``."""

import re
from dataclasses import dataclass

from genai.core.errors import UserError


@dataclass
class Interval:
    """Says when something is due again."""

    steps: int | None = None
    seconds: float | None = None
    next_second: float = 0.0

    @classmethod
    def parse(cls, value: int | str, key: str) -> "Interval":
        """Raises ``UserError`` naming ``key``."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)", str(value).strip())
        if match and float(match[1]) > 0:
            return cls(seconds=float(match[1]) * (60 if match[2] == "m" else 1))
        if str(value).strip().isdecimal() and int(value) > 0:
            return cls(steps=int(value))
        raise UserError(f"{key}={value}: it should be a number of steps such as 200, or of seconds such as 60s.")

    def start(self, now: float, first: float | None = None) -> None:
        """Begin to count seconds; the first time is due after ``first`` of them."""
        if self.seconds is not None:
            self.next_second = now + (self.seconds if first is None else min(first, self.seconds))

    def due(self, step: int, now: float) -> bool:
        """Whether it is time, after ``step`` steps."""
        if self.steps is not None:
            return step % self.steps == 0
        if self.seconds is None or now < self.next_second:
            return False
        self.next_second = now + self.seconds
        return True

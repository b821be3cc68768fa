"""Interval in steps or seconds: ``200`` or ``"60s"``."""

import re
from dataclasses import dataclass

from genai.core.errors import UserError


@dataclass
class Interval:
    """An interval in steps or seconds.

    Attributes:
        next_due: second at which it is due next.
    """

    steps: int | None = None
    seconds: float | None = None
    next_due: float = 0.0

    @classmethod
    def parse(cls, value: int | str, key: str) -> "Interval":
        """Parse the value of a config key. Raise ``UserError`` naming ``key``."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)", str(value).strip())
        if match and float(match[1]) > 0:
            return cls(seconds=float(match[1]) * (60 if match[2] == "m" else 1))
        if str(value).strip().isdecimal() and int(value) > 0:
            return cls(steps=int(value))
        raise UserError(f"{key}={value}: it should be a number of steps such as 200, or of seconds such as 60s.")

    def start(self, now: float, first: float | None = None) -> None:
        """Start to count seconds; it is due for the first time after at most ``first`` seconds."""
        if self.seconds is not None:
            self.next_due = now + (self.seconds if first is None else min(first, self.seconds))

    def is_due(self, step: int, now: float) -> bool:
        """Return whether the interval has passed after ``step`` steps, and start the next one."""
        if self.steps is not None:
            return step % self.steps == 0
        if self.seconds is None or now < self.next_due:
            return False
        self.next_due = now + self.seconds
        return True

"""Errors for people, and helpers for their messages."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

from genai.core.terminal import terminal_text

RUN_ERROR, USER_ERROR = 1, 2
"""Exit codes of a command that failed, and of one that was given a mistake."""
MAX_MESSAGE_LENGTH, MAX_NAME_LENGTH = 4_000, 100
"""Longest message, and longest name that is compared with others, in characters."""


class _PrintableError(Exception):
    """An error whose message can be printed whatever it quotes: bounded, without control characters."""

    def __init__(self, message: object = "") -> None:
        super().__init__(_truncate(str(message)))


class UserError(_PrintableError):
    """A user's mistake. Commands print the message without a traceback and exit with code 2."""


class CorruptCheckpoint(UserError):
    """A checkpoint that is truncated, altered, or not written by genai."""


class NonFiniteOutput(UserError):
    """A model that computes NaN or infinity."""


class RunError(_PrintableError):
    """A failed run (full disk, loss not finite). Commands print the message without a traceback; exit code 1."""


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'steps'?"`` for ``name="stepz"``; empty if no allowed name is similar."""
    names = list(allowed) if isinstance(name, str) and len(name) <= MAX_NAME_LENGTH else []
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def _truncate(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """Return text with ``?`` in place of control characters, without its middle if it is longer than ``limit``."""
    tail = limit // 4
    return terminal_text(text if len(text) <= limit else f"{text[: limit - tail]}...{text[-tail:]}")


def short_text(value: Any) -> str:
    """Return a text from an untrusted file for a message, and any other value as ``short_repr``, on one line."""
    return " ".join(_truncate(value, 200).split()) if isinstance(value, str) else short_repr(value)


def short_repr(value: Any) -> str:
    """Return a one-line ``repr`` of bounded length, safe for values from untrusted files."""
    return _truncate(_SHORT.repr(value).replace("\n", " "), 400)


def join_names(names: Iterable[str]) -> str:
    """Join names in sorted order, for messages that list what is allowed."""
    return ", ".join(sorted(names)) or "nothing"


_SHORT = Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200

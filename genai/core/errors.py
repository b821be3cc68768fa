"""Errors for people, and helpers for their messages."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any


class UserError(Exception):
    """A user's mistake. Commands print the message without a traceback and exit with code 2."""


class CorruptCheckpoint(UserError):
    """A checkpoint that is truncated, altered, or not written by genai."""


class RunError(Exception):
    """A failed run (full disk, loss not finite). Commands print the message without a traceback; exit code 1."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'steps'?"`` for ``name="stepz"``; empty if no allowed name is similar."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def short_repr(value: Any) -> str:
    """Return a one-line ``repr`` of bounded length, safe for values from untrusted files."""
    return _SHORT.repr(value)[:400]


def join_names(names: Iterable[str]) -> str:
    """Join names in sorted order, for messages that list what is allowed."""
    return ", ".join(sorted(names)) or "nothing"


_SHORT = Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200

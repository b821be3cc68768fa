"""What a person did wrong, said in a line or two."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any


class UserError(Exception):
    """A user's mistake: commands print it without a traceback and exit with code 2."""


class CorruptCheckpoint(UserError):
    """A checkpoint that is truncated, altered, or not one of ours."""


class RunError(Exception):
    """A run that cannot go on (a full disk, a loss that is not finite): printed without a traceback, exit code 1."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """``" Did you mean 'steps'?"`` for ``name="stepz"``; empty where nothing is near."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def short_repr(value: Any) -> str:
    """``repr`` in one line of bounded length, whatever a stranger's file has put into ``value``."""
    return _SHORT.repr(value)[:400]


def join_names(names: Iterable[str]) -> str:
    """Names in reading order, for the part of a message that says what is allowed."""
    return ", ".join(sorted(names)) or "nothing"


_SHORT = Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200

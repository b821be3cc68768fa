"""The process of a program: it calls one function of a stranger's source for the process of the tests."""

import builtins
import sys
from types import ModuleType
from typing import Any

from channel import Channel
from plain_values import decode, encode

MAX_MESSAGE = 500
"""Characters of an error's message."""


def serve_program(channel: Channel, source: str, entry_point: str) -> None:
    """Run ``source``, say how that went, then answer calls of ``entry_point`` until the channel ends."""
    try:
        code = compile(source, "program.py", "exec", dont_inherit=True)
    except Exception as error:  # nested brackets, NUL characters, no memory
        return channel.send(b"R", {"kind": "syntax", "detail": type(error).__name__})
    module = ModuleType("program")
    sys.modules["program"] = sys.modules["__main__"] = module
    try:
        exec(code, module.__dict__)
        function = module.__dict__[entry_point]
    except BaseException as error:  # also SystemExit
        return channel.send(b"R", {"kind": "raised", "detail": type(error).__name__[:MAX_MESSAGE]})
    channel.send(b"R", {"kind": "ready"})
    while True:
        answer = _answer(function, *channel.receive())
        try:
            channel.send(b"A", answer)
        except Exception as error:  # too long, or an integer of too many digits
            channel.send(b"A", {"unknown": _message(error)})


def _answer(function: Any, arguments: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """Return ``value`` or ``raised``, and ``arguments`` if the function changed those that are given by position."""
    values = [decode(argument) for argument in arguments]
    named = {name: decode(argument) for name, argument in keywords.items()}
    try:
        result = function(*values, **named)
    except BaseException as error:
        return {"raised": _builtin_name(type(error)), "message": _message(error)}
    try:
        answer = {"value": encode(result)}
        changed = [encode(value) for value in values]
    except Exception as error:
        return {"unknown": _message(error)}
    return answer if changed == arguments else answer | {"arguments": changed}


def _builtin_name(kind: type) -> str:
    """Return the name of an exception's nearest class that Python has by itself."""
    return next(base.__name__ for base in kind.__mro__ if getattr(builtins, base.__name__, None) is base)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:
        return ""

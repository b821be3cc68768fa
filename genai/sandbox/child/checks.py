"""The process of the tests: it runs ``check(candidate)``, where ``candidate`` calls the process of the program.

The program's process sends plain values only, so it can neither reach the tests nor say that they passed.
"""

import builtins
import os
from typing import Any, NoReturn

from channel import Channel
from plain_values import decode, encode

MAX_DETAIL = 200
"""Characters of an error's message."""


class Candidate:
    """A function that calls the program's one, with copies of its arguments.

    Changes of arguments by position that are lists, dictionaries or sets come back; those inside of other types, and of
    arguments by name, do not.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.error: BaseException | None = None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            trees = [encode(argument) for argument in arguments]
            self.channel.send(b"C", [trees, {name: encode(value) for name, value in keywords.items()}])
        except (TypeError, ValueError, RecursionError) as error:
            self.end("broken", f"arguments: {error}")
        try:
            answer = self.channel.receive()
            changed = [decode(tree) for tree in answer.get("arguments", [])]
            value = decode(answer["value"]) if "value" in answer else None
        except BaseException:
            self.end("wrong", "an answer that is no plain value")
        if "raised" in answer:
            self.error = _exception(answer["raised"], answer.get("message"))
            raise self.error
        if "value" not in answer:
            self.end("wrong", answer.get("unknown"))
        for argument, content in zip(arguments, changed, strict=False):
            _replace_content(argument, content)
        return value

    def end(self, kind: str, detail: Any = "") -> NoReturn:
        """Send the verdict and end the process: code of the tests that catches any error goes no further."""
        self.channel.send(b"V", {"kind": kind, "detail": str(detail)[:MAX_DETAIL]})
        os._exit(0)


def run_checks(channel: Channel, setup: str, test: str, entry_point: str) -> None:
    """Run a problem's tests and send the verdict: ``passed``, ``wrong``, ``raised`` or ``broken``.

    Args:
        channel: to the process that reads the verdict, and passes calls on.
        setup: source with the functions and imports that the tests may use besides ``candidate``.
        test: source that defines ``check``.
        entry_point: name of the function that ``setup`` may define, too.
    """
    candidate = Candidate(channel)
    names: dict[str, Any] = {"__name__": "checks"}
    try:
        exec(compile(setup, "setup.py", "exec", dont_inherit=True), names)
    except Exception:  # most tests use nothing of it
        names = {"__name__": "checks"}
    names[entry_point] = candidate
    try:
        exec(compile(test, "test.py", "exec", dont_inherit=True), names)
        check = names["check"]
    except BaseException as error:
        candidate.end("broken", f"{type(error).__name__}: {error}")
    try:
        check(candidate)
    except BaseException as error:
        kind = "raised" if error is candidate.error else "wrong"
        candidate.end(kind, f"{type(error).__name__}: {error}")
    candidate.end("passed")


def _exception(name: Any, message: Any) -> BaseException:
    """Return an exception of Python by its name."""
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, ExceptionGroup):
        kind = Exception
    return kind.__new__(kind, str(message))  # some constructors need more


def _replace_content(argument: Any, content: Any) -> None:
    """Change a list, dictionary or set as the program changed its copy."""
    if type(argument) is type(content) is list:
        argument[:] = content
    elif type(argument) is type(content) and isinstance(argument, dict | set):
        argument.clear()
        argument.update(content)

"""Render a chat template in a process of its own: it is a program of a stranger, which may never end.

``chat_template.py`` starts this file by its path, ``python -I -S``: nothing of genai is imported. The arguments are
folders of packages; stdin and stdout are JSON. The process ends itself after some seconds, by a thread that needs no
lock of Python; the system limits its memory where it can (Linux).
"""

import faulthandler
import json
import os
import re
import sys
from datetime import datetime
from typing import Any


def main() -> None:
    """Read ``source``, ``variables``, ``conversations`` (variables of their own), ``max_seconds``, ``max_bytes``,
    ``max_text``; write a list of ``text`` or ``error``, one for each conversation."""
    sys.path += sys.argv[1:]
    from resource_limits import limit_resource

    request = json.load(sys.stdin)
    environment = _environment()
    with open(os.devnull, "wb") as null_file:
        faulthandler.dump_traceback_later(request["max_seconds"], exit=True, file=null_file)
        for name, limit in (("AS", request["max_bytes"]), ("CORE", 0), ("FSIZE", 0)):  # it writes no dump and no file
            limit_resource(name, limit)
        template = _attempt(lambda: environment.from_string(request["source"]))
        print(json.dumps([_answer(template, request, each) for each in request["conversations"]]), flush=True)


def _answer(template: Any, request: dict[str, Any], conversation: dict[str, Any]) -> dict[str, str]:
    """Return the text of a conversation, or the error that it causes; ``template`` may be an error, too."""
    if isinstance(template, dict):
        return template
    result = _attempt(lambda: _render(template, request, conversation))
    return result if isinstance(result, dict) else {"text": result}


def _attempt(function: Any) -> Any:
    """Return what ``function`` returns, or a dictionary with ``error``."""
    try:
        return function()
    except MemoryError:
        return {"error": "it needs too much memory"}
    except RecursionError:
        return {"error": "it calls itself too often"}
    except Exception as error:  # a program of a stranger can cause any error
        return {"error": str(error)[:500] or type(error).__name__}


def _render(template: Any, request: dict[str, Any], conversation: dict[str, Any]) -> str:
    """Return the text. Raises whatever the template causes, and ``ValueError`` for a text that is too long."""
    parts, size = [], 0
    for part in template.generate(**request["variables"], **conversation):
        parts.append(part)
        size += len(part)
        if size > request["max_text"]:
            raise ValueError(f"it writes more than {request['max_text']:,} characters")
    return "".join(parts)


def _environment() -> Any:
    """Return Jinja with the options, filters and functions that transformers gives to chat templates."""
    import jinja2.ext
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Sandbox(ImmutableSandboxedEnvironment):
        """Refuses products and powers that are large before they are computed."""

        intercepted_binops = frozenset(["*", "**", "%"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "*":
                _check_product(left, right)
            elif operator == "%" and isinstance(left, str) and re.search(r"\d{5}|\*", left):
                raise OverflowError("it formats a text too wide")
            elif operator == "**" and not (abs(left) <= 10**6 and abs(right) <= 100):
                raise OverflowError("it computes too large a power")
            return super().call_binop(context, operator, left, right)

    class Generation(jinja2.ext.Extension):
        """``{% generation %}``, which marks the turns of an assistant and changes no text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

        def _text(self, caller: Any) -> str:
            return str(caller())

    class PublicNamespace(Namespace):
        """Has no names of Python's own."""

        def __init__(*args: Any, **values: Any) -> None:
            Namespace.__init__(args[0], {})
            for name, value in dict(*args[1:], **values).items():
                args[0][name] = value

        def __setitem__(self, name: str, value: Any) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError(f"it names an attribute {name}")
            super().__setitem__(name, value)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": lambda text: datetime.now().strftime(text),
        "dict": lambda *args, **values: dict(*args, **values),
        "namespace": PublicNamespace,
    }
    return environment


def _check_product(left: Any, right: Any) -> None:
    """Raise ``OverflowError`` for a text or list that is repeated too often, and for too large a number."""
    sizes = [len(value) if hasattr(value, "__len__") else abs(value) for value in (left, right)]
    if sizes[0] * sizes[1] > 10**6 and any(hasattr(value, "__len__") for value in (left, right)):
        raise OverflowError("it repeats a text too often")
    if max(sizes) > 10**30:
        raise OverflowError("it computes too large a number")


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


if __name__ == "__main__":
    main()

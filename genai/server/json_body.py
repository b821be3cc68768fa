"""JSON of requests and answers: small trees, whose depth is checked before they are parsed."""

import json
import math
import re
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import UserError
from genai.core.plain_data import MAX_DEPTH, MAX_VALUES, parse_json

MAX_BYTES = 4 * 2**20
"""Largest JSON of a request, in bytes."""
LARGE_BYTES = 64 * 2**10
"""Larger JSON is parsed in a thread of its own."""
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


class JSONAnswer(Response):
    """An answer in JSON; a text of a sample may hold halves of surrogate pairs, which become ``?``."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode_json(content)


def encode_json(content: Any) -> bytes:
    """Return plain data as JSON; numbers that are not finite, which JSON does not have, become ``null``."""
    try:
        return _dump(content)
    except ValueError:
        return _dump(_finite(content))


def _dump(content: Any) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    """Return plain data with ``None`` in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_depth(content: bytes, where: str) -> None:
    """Raise ``UserError`` if brackets in brackets are too deep, or there are more values than are read."""
    if sum(content.count(mark) for mark in (b"[", b"{", b",", b":")) > 2 * MAX_VALUES:
        raise UserError(f"{where} is refused: it holds more than {MAX_VALUES:,} values.")
    depth = 0
    for match in _TOKEN.finditer(content):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise UserError(f"{where} is refused: it holds more than {MAX_DEPTH} levels.")


def parse_object(content: bytes, where: str = "the request") -> dict[str, Any]:
    """Return a JSON object. Raises ``UserError``."""
    check_depth(content, where)
    try:
        value = parse_json(content.decode("utf-8"), where)
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8.") from error
    if not isinstance(value, dict):
        raise UserError(f"{where} should be a JSON object, {{...}}.")
    valid: dict[str, Any] = _replace_invalid(value) if b"\\u" in content else value
    return valid


def _replace_invalid(value: Any) -> Any:
    """Return plain data with ``?`` in place of halves of surrogate pairs, which UTF-8 cannot write."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_replace_invalid(name): _replace_invalid(each) for name, each in value.items()}
    return [_replace_invalid(each) for each in value] if isinstance(value, list) else value


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request. Raises ``UserError``."""
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise UserError(f"the JSON of a request may have {MAX_BYTES:,} bytes.")
    content = b"".join(parts)
    return await run_in_threadpool(parse_object, content) if size > LARGE_BYTES else parse_object(content)

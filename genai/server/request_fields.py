"""Bodies of requests as typed values; names that a request class does not have are options of the model."""

from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from typing import Any, TypeVar, get_type_hints

from genai.core.errors import UserError, short_repr
from genai.core.instantiate import parse_dataclass, validate_value

T = TypeVar("T")
IGNORED = frozenset(
    {
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "quality", "style",
        "moderation", "background", "input_fidelity", "parallel_tool_calls", "verbosity", "output_compression",
    }
)  # fmt: skip
"""Fields of OpenAI's requests that change nothing here."""
UNSUPPORTED = {
    "tools": "models here call no tools",
    "functions": "models here call no functions",
    "audio": "chats here are texts",
    "modalities": "the model decides what it makes",
    "suffix": "give it to /api/jobs, as an option of a model that fills gaps",
    "prediction": "it is not supported",
    "reasoning_effort": "models here do not reason apart from their answer",
    "web_search_options": "nothing here searches",
    "partial_images": "use /api/jobs, whose events have partial results",
    "instructions": "the model takes a prompt alone",
}
"""Fields of OpenAI's requests that cannot be done, with the reason."""
_EMPTY: tuple[Any, ...] = (None, [], {}, "")


def parse_request(cls: type[T], body: Mapping[str, Any]) -> tuple[T, dict[str, Any]]:
    """Return the fields of a JSON body as ``cls``, and the options that are left.

    Raises:
        UserError: a wrong type, a value out of range, a missing field, one that cannot be done.
    """
    values = {name: value for name, value in body.items() if value is not None and name not in IGNORED}
    _check_supported(values)
    names = {field.name for field in dataclass_fields(cls)}  # type: ignore[arg-type]
    request = parse_dataclass(cls, {name: value for name, value in values.items() if name in names})
    return request, {name: value for name, value in values.items() if name not in names}


def parse_form(cls: type[T], texts: Mapping[str, str]) -> tuple[T, dict[str, str]]:
    """Return the fields of a form as ``cls``, and the options that are left. Raises as ``parse_request``."""
    values = {name: text for name, text in texts.items() if name not in IGNORED}
    _check_supported(values)
    hints = get_type_hints(cls, include_extras=True)
    fields = {n: validate_value(text, hints[n], n, strict=False) for n, text in values.items() if n in hints}
    return parse_dataclass(cls, fields), {name: text for name, text in values.items() if name not in hints}


def _check_supported(values: Mapping[str, Any]) -> None:
    for name, reason in UNSUPPORTED.items():
        if values.get(name) not in _EMPTY:
            raise UserError(f"{name}={short_repr(values[name])}: {reason}. Leave it out.")

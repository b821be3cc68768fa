"""Options as data: name, type, range, default and sentence, from type hints and docstrings."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from genai.media.base import FILE_OR_CONTENT, FileName
from genai.modalities.optional import HasOptionChoices

if TYPE_CHECKING:
    from genai.inference.model import Model

FILE_SCHEMA = {"type": "string", "format": "binary"}


def describe_options(model: "Model") -> list[dict[str, Any]]:
    """Return the options of a model, those of the modality first, with this model's own defaults."""
    options = []
    for part in model.build_options({}):
        options += describe_fields(type(part), vars(part))
    if isinstance(model.modality, HasOptionChoices):
        for entry in options:
            if names := model.modality.option_choices.get(entry["name"]):
                entry["enum"] = list(names)
    return options


def describe_fields(cls: type, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the fields of a dataclass as JSON schemas with ``name``, ``default`` and ``description``.

    Args:
        cls: the dataclass.
        values: defaults in place of those of the class.
    """
    hints, sentences = get_type_hints(cls, include_extras=True), attribute_sentences(cls)
    entries = []
    for field in dataclass_fields(cls):
        entry: dict[str, Any] = {"name": field.name, **type_schema(hints[field.name])}
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is not MISSING:
            entry["default"] = _plain((values or {}).get(field.name, default))
        entry["description"] = sentences.get(field.name, "")
        entries.append(entry)
    return entries


def object_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a request, whose further names are options of the model."""
    entries = describe_fields(cls)
    required = [entry["name"] for entry in entries if "default" not in entry]
    properties = {entry.pop("name"): entry for entry in entries}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": True}


def type_schema(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of a type hint; ``nullable`` if it allows ``None``."""
    if is_file(hint):
        return {**FILE_SCHEMA, "nullable": type(None) in get_args(hint)}
    try:
        schema = TypeAdapter(hint).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return {}
    members = schema.get("anyOf", [])
    others = [member for member in members if member != {"type": "null"}]
    if len(others) == 1 and len(members) == 2:
        return {**others[0], "nullable": True}
    return schema


def is_file(hint: Any) -> bool:
    """Return whether an option of this type names a file."""
    return FileName in (hint, *get_args(hint))


def can_name_file(hint: Any) -> bool:
    """Return whether a text for an option of this type could name a file that holds its value."""
    return any(FILE_OR_CONTENT in getattr(each, "__metadata__", ()) for each in (hint, *get_args(hint)))


def attribute_sentences(cls: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say about each attribute."""
    sentences: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Attributes:\n")[2]
        section = re.split(r"\n(?=\S)", text)[0]
        for match in re.finditer(r"^    (\w[\w, ]*): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            sentence = " ".join(match[2].split())
            sentences |= dict.fromkeys(match[1].split(", "), sentence)
    return sentences


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)

"""Metadata of a card: the YAML between two lines ``---`` at the start of a README, as the Hugging Face hub reads it.

It is called front matter, too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai.core.errors import UserError, short_text
from genai.core.files import read_text
from genai.core.plain_data import parse_yaml

CARD = "README.md"
LINE = "---"
BASE_KEY = "genai_base"
"""Name of the model that an exported one came from; ``base_model`` has it only if it is an id of the hub."""
MAX_LINES = 500


def read_metadata(folder: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the metadata of a folder's README; empty if there is none, or it cannot be read.

    Args:
        folder: the folder.
        root: the folder that a link may lead to; ``None``: ``folder``.
    """
    try:
        lines = read_text(folder / CARD, "card", root or folder).split("\n")[:MAX_LINES]
        if lines[0].rstrip() != LINE or LINE not in lines[1:]:
            return {}
        values = parse_yaml("\n".join(lines[1 : lines.index(LINE, 1)]), CARD)
    except UserError:
        return {}
    return values if isinstance(values, dict) else {}


def format_metadata(values: Mapping[str, Any]) -> str:
    """Return metadata with the plain values that are not empty; none can end it or add entries."""
    import yaml

    content = {name: _printable(value) for name, value in values.items() if value}
    return f"{LINE}\n{yaml.safe_dump(content, sort_keys=False, width=10_000)}{LINE}\n"


def _printable(value: Any) -> Any:
    """Return a plain value with its texts on one line each."""
    if isinstance(value, Mapping):
        return {short_text(name): _printable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_printable(part) for part in value]
    return value if isinstance(value, int | float) else short_text(value)


def license_of(values: Mapping[str, Any]) -> str:
    """Return the license that metadata state, its name if it is none that the hub knows; "" if none."""
    value = values.get("license")
    if value == "other" and isinstance(values.get("license_name"), str):
        value = values["license_name"]
    names = value if isinstance(value, list) else [value]
    return ", ".join(short_text(name) for name in names if isinstance(name, str))


def hub_id(folder: Path) -> str:
    """Return ``org/name`` for a folder in the hub's cache, such as ``models--org--name/snapshots/1a2b``; else ""."""
    kind, *parts = folder.parent.parent.name.split("--")
    is_cached = folder.parent.name == "snapshots" and kind in ("models", "datasets") and parts
    return "/".join(parts) if is_cached else ""

"""Name and license of a data set, for records and model cards."""

from pathlib import Path

from genai.core.card_metadata import hub_id, license_of, read_metadata
from genai.core.data import Source
from genai.core.errors import short_text


def data_name(source: Source) -> str:
    """Return the name of a data set: its own, its id on the Hugging Face hub, or the last part of its path."""
    path = getattr(source, "path", "")
    return source.name or (hub_id(Path(path)) or Path(path).name if path else "")


def data_license(source: Source) -> str:
    """Return the license of a data set: its own, or what the front matter of its folder's README states; "" if none."""
    folder = Path(getattr(source, "path", "") or "?").expanduser()
    return source.license or (short_text(license_of(read_metadata(folder))) if folder.is_dir() else "")

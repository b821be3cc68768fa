"""Paths of genai's own files."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
"""Folder of the package."""


def config_dir() -> Path:
    """Return the folder of the YAML files: inside an installed package, beside it in a checkout."""
    folder = PACKAGE / "configs"
    return folder if folder.is_dir() else PACKAGE.parent / "configs"

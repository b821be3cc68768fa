"""Paths of genai's own files."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
"""Folder of the package."""


def config_dir() -> Path:
    """Return the folder of the YAML files: inside an installed package, beside it in a checkout."""
    folder = PACKAGE / "configs"
    return folder if folder.is_dir() else PACKAGE.parent / "configs"


def config_dirs(plugins: Iterable[str] = ()) -> list[Path]:
    """Return the folder of the YAML files, and the folder ``configs`` in each package of ``plugins`` that has one."""
    folders = []
    for plugin in plugins:
        try:
            spec = find_spec(plugin)
        except (ImportError, ValueError):  # what is missing is named where its classes are built
            continue
        folders += [Path(path) / "configs" for path in ((spec and spec.submodule_search_locations) or ())]
    return [config_dir(), *(folder for folder in folders if folder.is_dir())]

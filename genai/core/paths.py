"""Where the files of genai itself are."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def config_dir() -> Path:
    """Folder of the YAML files: inside the package when installed from a wheel, beside it in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"

"""Which data and modalities the shipped configs name, and which of them go together."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from genai.core.data import Source
from genai.core.instantiate import import_class
from genai.core.paths import config_dir
from genai.modalities.base import Modality


@cache
def sources() -> dict[str, tuple[type[Source], ...]]:
    """The data sources by the name of their config; several where it takes another form in each modality."""
    return {
        name: tuple(import_class(target, Source, "data") for target in targets)  # type: ignore[type-abstract]
        for name, targets in _targets().items()
    }


def fitting(modality: type[Modality]) -> list[str]:
    """Names of the data that ``modality`` is for."""
    kinds = {name: [source.media for source in forms] for name, forms in sources().items()}
    return [name for name, media in kinds.items() if any(issubclass(each, modality.media) for each in media)]


@cache
def modalities() -> dict[str, type[Modality]]:
    """The modalities by the name of their config."""
    files = sorted((config_dir() / "modality").glob("*.yaml"))
    targets = {file.stem: _read(file)["modality"]["_target_"] for file in files}
    return {name: import_class(target, Modality, "modality") for name, target in targets.items()}  # type: ignore[type-abstract]


def _targets() -> dict[str, list[str]]:
    """``_target_`` of each config of data, or of its forms, which are in a folder of its name."""
    found = {}
    for file in sorted((config_dir() / "data").glob("*.yaml")):
        node = _read(file)
        forms = [node] if "_target_" in node else [_read(form) for form in sorted(file.with_suffix("").glob("*.yaml"))]
        found[file.stem] = [form["_target_"] for form in forms]
    return found


def _read(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))

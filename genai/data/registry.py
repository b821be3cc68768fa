"""Data sources and modalities in the configs of this package, and which of them go together."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from genai.core.data import Source
from genai.core.instantiate import import_class
from genai.core.paths import config_dir, config_dirs
from genai.modalities.base import Modality


@cache
def source_classes() -> dict[str, tuple[type[Source], ...]]:
    """Return the classes of data sources by the name of their config; several if they depend on the modality."""
    return {
        name: tuple(import_class(target, Source, "data") for target in targets)  # type: ignore[type-abstract]
        for name, targets in _targets().items()
    }


def compatible_data(modality: type[Modality]) -> list[str]:
    """Return the names of the data sources for ``modality``."""
    names = {name for name, cls in modality_classes().items() if issubclass(modality, cls)}
    return [
        name
        for name, sources in source_classes().items()
        if any(issubclass(source.media, modality.media) for source in sources)
        or (sources[0].media is object and (not (variants := _variants(name)) or names & variants))
    ]


@cache
def modality_classes(plugins: tuple[str, ...] = ()) -> dict[str, type[Modality]]:
    """Return the classes of modalities by the name of their config, here and in the packages ``plugins``."""
    files = [file for folder in config_dirs(plugins) for file in sorted((folder / "modality").glob("*.yaml"))]
    targets = {file.stem: _read_yaml(file)["modality"]["_target_"] for file in files}
    return {name: import_class(target, Modality, "modality", plugins) for name, target in targets.items()}  # type: ignore[type-abstract]


def _variants(name: str) -> set[str]:
    """Return the modalities for which a data config has variants; empty if it has none."""
    return {file.stem for file in (config_dir() / "data" / name).glob("*.yaml")}


def _targets() -> dict[str, list[str]]:
    """Return ``_target_`` of each data config, or of its variants, which are in a folder of its name."""
    targets = {}
    for file in sorted((config_dir() / "data").glob("*.yaml")):
        node = _read_yaml(file)
        files = (file.with_suffix("") / f"{variant}.yaml" for variant in sorted(_variants(file.stem)))
        nodes = [node] if "_target_" in node else [_read_yaml(variant) for variant in files]
        targets[file.stem] = [node["_target_"] for node in nodes]
    return targets


def _read_yaml(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))

"""Name of a run, from its modality, its model and its data, so that runs can be told apart in a list."""

import re
from pathlib import Path
from typing import Any

from genai.cli.compose import CommandConfig, compose, override_key

MAX_LABEL_LENGTH = 40
"""Longest name of data in the name of a run, in characters."""


def run_name(config: CommandConfig) -> str:
    """Return ``"text-gpt-austen"``: modality, model, and ``name=`` or, without it, data that are not the default."""
    choices = config.choices
    label = _short(str(config.values.get("name") or "")) or _short(_data_name(config))
    return "-".join(filter(None, (choices.get("modality", "run"), choices.get("model", "model"), label)))


def _data_name(config: CommandConfig) -> str:
    """Return the name of the set, the last part of the path, the experiment, or the choice of ``data=``."""
    data: dict[str, Any] = config.values.get("data") or {}
    if name := data.get("name"):
        return str(name)
    if path := data.get("path"):
        parts = [part for part in Path(str(path)).parts if not set(part) & set("*?[")]  # without the end of a glob
        return Path(parts[-1]).stem if parts else ""
    if (experiment := config.choices.get("experiment")) not in (None, "null"):
        return str(experiment)
    if not any(override_key(word) in ("data", "data._target_") for word in config.overrides):
        return ""
    words = [f"modality={config.choices.get('modality')}", f"plugins=[{','.join(config.values.get('plugins') or ())}]"]
    default, choice, target = compose("train", words), config.choices.get("data"), str(data.get("_target_"))
    if choice and choice != default.choices.get("data"):
        return choice
    return "" if target == default.values["data"].get("_target_") else target.rpartition(".")[2]


def _short(text: str) -> str:
    """Return letters, digits and ``_.+-`` of a text, which a shell need not quote; other characters become ``-``."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-_.")[:MAX_LABEL_LENGTH].rstrip("-_.")

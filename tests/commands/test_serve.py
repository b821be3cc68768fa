"""``python -m genai serve``: its keys, its help, its errors."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai.cli.compose import compose
from genai.commands import serve
from genai.core.instantiate import parse_dataclass
from genai.server.settings import ServeSettings
from tests.conftest import ROOT

TEXTS = [ROOT / "configs" / "hydra" / "help" / "serve.yaml", *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
FOUND = re.findall(r"python -m genai serve( [^`\n]*)?", "\n".join(path.read_text(encoding="utf-8") for path in TEXTS))
COMMANDS = sorted({re.split(r"\s{2,}", line)[0] for line in FOUND if "answers" not in line})


def test_the_yaml_has_the_defaults_of_the_settings() -> None:
    values = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    values = {name: value for name, value in values.items() if name not in ("defaults", "hydra")}
    assert parse_dataclass(ServeSettings, values) == ServeSettings(hosts=[], origins=[], plugins=[])
    assert values.keys() == vars(ServeSettings()).keys()


@pytest.mark.parametrize("words", COMMANDS)
def test_documented_commands_have_settings(words: str) -> None:
    settings = parse_dataclass(ServeSettings, compose("serve", shlex.split(words)).values)
    assert settings.limits and settings.memory_bytes and (settings.named_models is None or settings.named_models["cat"])


def test_limits_can_be_set_one_by_one() -> None:
    settings = parse_dataclass(ServeSettings, compose("serve", ["max_options.length=9"]).values)
    assert settings.limits.options["length"] == 9 and settings.limits.options["frames"] == 256


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["host=0.0.0.0"], "needs a key"),
        (["port=70000"], "port=70000"),
        (["memory=much"], "memory=much"),
        (["api_key=secret"], "api_key"),
        (["models=cat"], "models="),
        (["model=x"], "models"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.delenv("GENAI_API_KEY", raising=False)
    result = inside("serve", *words, cwd=tmp_path)
    assert result.returncode == 2 and message in result.stderr, result.stderr


def test_a_missing_package_is_named(
    inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert "pip install 'genai[serve]'" in inside("serve", cwd=tmp_path).stderr

"""Sizes and names of models from the command line."""

import pytest

from genai.core.errors import UserError
from genai.server.settings import ServeSettings, parse_bytes


def test_sizes_have_units() -> None:
    assert parse_bytes("memory", "8GB") == 8 * 10**9
    assert parse_bytes("memory", "1.5 MiB") == 1.5 * 2**20
    for text in ("", "8 parsecs", "-1GB", "0", "GB", "1e9"):
        with pytest.raises(UserError, match="memory="):
            parse_bytes("memory", text)


def test_models_have_names() -> None:
    assert ServeSettings(models="{cat: runs/a, 'dog-1': b.gguf}").named_models == {"cat": "runs/a", "dog-1": "b.gguf"}
    for text in ("cat", "[a]", "{}", "{'../a': runs/a}", "{a/b: c}", "{cat: 1}"):
        with pytest.raises(UserError, match="models="):
            _ = ServeSettings(models=text).named_models

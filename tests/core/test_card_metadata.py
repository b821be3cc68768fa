"""Metadata of cards, read and written as the Hugging Face hub does."""

from pathlib import Path

import pytest
import yaml

from genai.core.card_metadata import format_metadata, hub_id, license_of, read_metadata
from genai.core.errors import short_text


@pytest.mark.parametrize(
    ("text", "license_name"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ('---\r\nlicense: "mit"\r\nlanguage:\r\n- en\r\n---\r\n', "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlicense: other\nlicense_name: my-license\n---\n", "my-license"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: no\n---\n", ""),
        ("---\nlicense: {a: b}\n---\n", ""),
        ("---\nlicense: mit\n", ""),
        ("# A model\nlicense: mit\n", ""),
        ("---\nlicense: &a [*a]\n---\n", ""),
        ("---\nlicense: !!python/object:os.system mit\n---\n", ""),
        ("---\nlicense: mit\n  - x: [\n---\n", ""),
        ("---\n- license\n---\n", ""),
        ("", ""),
    ],
)
def test_a_license_is_read_or_there_is_none(text: str, license_name: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(text.encode())
    assert license_of(read_metadata(tmp_path)) == license_name


def test_a_card_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert read_metadata(tmp_path) == {}
    (tmp_path / "README.md").mkdir()
    assert read_metadata(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["a\n---\nb: c", "no", "~", "x: y", "- a", "\u2028---\u2028", "'\"", "# c", "!!x", "\x07"]
)
def test_no_text_ends_the_metadata_or_adds_an_entry(text: str) -> None:
    content = format_metadata({"license": text, "empty": "", "tags": [text]})
    first, body, rest = content.split("---\n")
    assert (first, rest) == ("", "") and yaml.safe_load(body) == {
        "license": short_text(text),
        "tags": [short_text(text)],
    }
    assert "\n---" not in body and len([line for line in body.splitlines() if line == "---"]) == 0


def test_the_cache_of_the_hub_tells_the_id() -> None:
    assert hub_id(Path("/x/models--HuggingFaceTB--SmolLM2-135M/snapshots/12ab")) == "HuggingFaceTB/SmolLM2-135M"
    assert hub_id(Path("/x/datasets--a--b/snapshots/12ab")) == "a/b"
    assert hub_id(Path("/x/spaces--a--b/snapshots/1")) == hub_id(Path("/x/models--a--b")) == hub_id(Path("a")) == ""

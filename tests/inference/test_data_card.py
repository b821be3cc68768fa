import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from genai.core.data import Example, Source, Split, no_data
from genai.data.image_folder import ImageFolder
from genai.data.text import TextFolder
from genai.inference.data_card import MAX_CHARACTERS, MAX_ITEMS, data_card, format_data_card
from genai.media.text import Document


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for index in range(6):
        (tmp_path / f"{index}.txt").write_text(f"text {index}, привет, from anna@example.org")
    (tmp_path / "copy.txt").write_text((tmp_path / "0.txt").read_text())
    (tmp_path / "broken.txt").write_bytes(b"\xff\xff\x00")
    return tmp_path


def test_the_card_of_texts(texts: Path) -> None:
    card = data_card(TextFolder(str(texts)))
    assert card["license"] == card["consent"] == "not stated"
    assert card["languages"] == card["near_duplicates"] == "not determined"
    assert (card["exact_duplicates"], card["skipped"]["messages"]) == (1, 1)
    assert card["splits"]["train"]["items"] == card["sample"]["texts"] == card["personal_data"]["counts"]["mail"]
    assert card["personal_data"]["examples"] == {"mail": ["a***@e***.org"]}
    assert set(card["scripts"]) == {"Latin", "Cyrillic"} and sum(card["scripts"].values()) == pytest.approx(1, abs=1e-3)
    assert json.loads(json.dumps(card)) == card
    text = format_data_card(card)
    assert "anna@" not in text and "| license | not stated |" in text and "broken.txt" in text


def test_what_a_person_states(texts: Path) -> None:
    (texts / "consent.yaml").write_text("anna: yes\n")
    (texts / "LICENSE").write_text("All rights reserved.\n")
    card = data_card(TextFolder(str(texts), license="cc-by-4.0"))
    assert (card["license"], card["consent"]) == ("cc-by-4.0", "see consent.yaml")
    assert "## LICENSE\n\n    All rights reserved.\n" in format_data_card(card)


def test_the_card_of_pictures_with_captions(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(5):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text(f"picture {index} by ben@example.org")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    card = data_card(ImageFolder(str(tmp_path)))
    assert (card["exact_duplicates"], card["near_duplicates"]) == (1, 1)
    assert card["personal_data"]["counts"]["mail"] == card["sample"]["texts"] > 0


class Loud(Source):
    """Large texts that count how often they are loaded."""

    media, loaded = Document, 0

    @property
    def train(self) -> Split:
        return Split("train", 10 * MAX_ITEMS, self.load, "a")

    @property
    def val(self) -> Split:
        return Split("val", 1, self.load, "b")

    def load(self, index: int) -> Example:
        self.loaded += 1
        return Example(Document("x" * 10_000))


def test_large_data_are_sampled() -> None:
    source = Loud()
    card = data_card(source)
    assert source.loaded <= MAX_ITEMS + 1 and card["sample"]["characters"] <= MAX_CHARACTERS
    assert f"of 1,000 of {10 * MAX_ITEMS:,} training items" in format_data_card(card)


def test_data_without_texts() -> None:
    assert "| personal data | not searched: no texts at hand |" in format_data_card(data_card(no_data(Document)))


@pytest.mark.parametrize(("mode", "done"), [("mask", ", masked"), ("drop", ", left out"), ("report", "")])
def test_the_card_says_what_was_done_about_personal_data(
    mode: Literal["mask", "drop", "report"], done: str, texts: Path
) -> None:
    for index in range(6, 9):
        (texts / f"{index}.txt").write_text(f"text {index}, of nobody")
    card = data_card(TextFolder(str(texts), personal=mode))
    assert card["personal_data"]["record"]["counts"] == {"mail": 7} and card["personal_data"]["record"]["mode"] == mode
    row = next(line for line in format_data_card(card).splitlines() if line.startswith("| personal data |"))
    assert f"in all texts: personal data (7 mail) in 7 documents{done}; in the sample, of what is trained on: " in row
    assert row.endswith("none found |") == (mode != "report")

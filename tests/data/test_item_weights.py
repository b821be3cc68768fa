"""Weights of sub-folders and of values of columns: what is drawn, what the data line says, exact resume."""

from pathlib import Path
from typing import Any

import pytest

from genai.cli.compose import compose
from genai.core.caption_choice import TagDropout
from genai.core.errors import UserError
from genai.core.instantiate import instantiate
from genai.data.image_folder import ImageFolder
from genai.inference.data_card import data_card
from genai.training.run import train


def test_files_of_a_folder_and_of_a_value_have_the_product(emoji: Path, pictures: Path) -> None:
    source = ImageFolder(
        str(emoji), weights={"style": {"noto": 3}, "label": {"ball 2": 0.5, "ball 1": 7}}, val_fraction=0.2
    )
    columns = zip(*(source.column_values(source.train, name) for name in ("style", "label")), strict=True)
    factors = {"ball 2": 0.5, "ball 1": 7}
    assert source.train.weights == [(3 if style == "noto" else 1) * factors.get(label, 1) for style, label in columns]
    assert not source.val.weights
    source = ImageFolder(str(pictures), weights={"folder": {"sky": 3}})
    folders = source.column_values(source.train, "folder")
    share = 3 * folders.count("sky") / (3 * folders.count("sky") + folders.count("red_ball"))
    assert f"weights of folder: sky x 3 ({share:.0%} of what is drawn)" in source.description
    assert f"sky x 3 ({share:.0%}" in data_card(source)["content"]
    assert source.train.content_hash == ImageFolder(str(pictures)).train.content_hash


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"folder": {"skies": 3}}, "no training file has the value 'skies'.*sky"),
        ({"color": {"red": 3}}, "no training file has a value in this column"),
    ],
)
def test_unknown_columns_and_values_are_refused(pictures: Path, weights: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        assert ImageFolder(str(pictures), weights=weights).train


@pytest.mark.parametrize(
    "word", ["data.weights={folder: 3}", "data.weights={folder: {sky: 0}}", "data.weights={sky: many}"]
)
def test_what_is_no_weight_is_refused(pictures: Path, word: str, tmp_path: Path) -> None:
    words = ["modality=image", "data=image_folder", f"data.path={pictures}", word, f"runs={tmp_path}"]
    with pytest.raises(UserError, match=r"data\.weights"):
        train(compose("train", words))


def test_weights_do_not_go_with_overfit_items(pictures: Path, tmp_path: Path) -> None:
    words = ["modality=image", "modality.size=16", "data=image_folder", f"data.path={pictures}", "overfit_items=2"]
    with pytest.raises(UserError, match=r"overfit_items= takes the first items.*leave out data\.weights="):
        train(compose("train", [*words, "data.weights={folder: {sky: 3}}", f"runs={tmp_path / 'runs'}"]))
    assert not (tmp_path / "runs").exists()


def test_tags_and_weights_are_told_to_a_run(pictures: Path) -> None:
    words = [
        "modality=image",
        "data=image_folder",
        f"data.path={pictures}",
        "data.tag_dropout=0.2",
        "data.keep_tokens=2",
    ]
    data = dict(compose("train", [*words, "data.weights={folder: {sky: 3, red_ball: 0.5}}"]).values["data"])
    source = instantiate(data, ImageFolder, "data")
    assert source.train.tag_dropout == TagDropout(0.2, 2)
    assert {*source.train.weights} == {3.0, 0.5}
    assert "tags but the first 2 are dropped with the probability 0.2" in source.description

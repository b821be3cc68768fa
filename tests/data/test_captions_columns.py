"""``data.captions=`` and ``data.exclude=`` of folders: columns of tables."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from genai.core.cache import cache_key
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.data.audio_folder import AudioFolder
from genai.data.image_folder import ImageFolder
from genai.data.partition_writer import DataNodes
from genai.data.prepare import prepare
from genai.data.prepared import Prepared
from genai.inference.data_card import data_card, format_data_card

ROWS = (
    {"text": "a red ball, noto", "label": "ball", "keywords": ["red", "toy"], "style": "noto"},
    {"text": "the sky, fluent", "label": "sky", "keywords": ["blue"], "style": "fluent"},
    {"text": "a tree, noto", "label": "tree", "style": "noto"},
    {"text": "a cat of anna@example.org, open", "label": "cat", "keywords": ["pet"], "style": "open"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures with a table of captions."""
    return _write(tmp_path / "pictures", ROWS)


def _write(folder: Path, rows: Any) -> Path:
    folder.mkdir()
    for index in range(len(rows)):
        Pillow.new("RGB", (8, 8), (60 * index, 9, 250)).save(folder / f"{index}.png")
    lines = [json.dumps({"file_name": f"{index}.png", **row}) for index, row in enumerate(rows)]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _captions(source: ImageFolder) -> dict[str, Any]:
    splits = (source.train, source.val)
    return {example.prompt: example.captions for split in splits for example in split}


def test_captions_come_from_columns(folder: Path) -> None:
    source = ImageFolder(str(folder), captions=["text", "Label", "keywords"])
    assert _captions(source) == {
        "a red ball, noto": ("a red ball, noto", "ball", ("red", "toy")),
        "the sky, fluent": ("the sky, fluent", "sky", ("blue",)),
        "a tree, noto": ("a tree, noto", "tree"),
        "a cat of anna@example.org, open": ("a cat of anna@example.org, open", "cat", ("pet",)),
    }
    assert "4 different prompts, drawn from 2 to 3 captions each" in source.description
    assert "captions: 4 from tables (text, Label, keywords)" in source.layout_note
    assert [len(split.captions) for split in (source.train, source.val)] == [3, 1]
    assert source.column_values(source.val, "style")[0] in ("noto", "fluent", "open")
    only = ImageFolder(str(folder), captions=["label"])
    assert _captions(only) == dict.fromkeys(("ball", "sky", "tree", "cat"), ()) and not only.train.captions


def test_a_list_of_texts_has_one_caption_each(tmp_path: Path) -> None:
    rows = [{"text": ["a red ball", " ", "a  toy"]}, {"text": "sky"}, {"label": 3, "caption": ["one", 4]}]
    source = ImageFolder(str(_write(tmp_path / "a", rows)))
    assert _captions(source) == {"a red ball": ("a red ball", "a toy"), "sky": (), "one": ("one", "4")}
    assert not source.skipped


def test_keywords_in_a_csv_have_commas(tmp_path: Path) -> None:
    folder = _write(tmp_path / "a", ROWS)
    (folder / "metadata.jsonl").unlink()
    table = 'file_name;tags;label\n0.png;red, toy;ball\n1.png;;sky\n2.png;"green,  tall ";tree\n3.png;pet;cat\n'
    (folder / "metadata.csv").write_text(table)
    (folder / "0.txt").write_text("not asked for")
    source = ImageFolder(str(folder), captions=["tags"])
    assert _captions(source) == {
        "red, toy": (("red", "toy"),), "": (), "green, tall": (("green", "tall"),), "pet": (("pet",),)
    }  # fmt: skip
    assert "(1 without)" in source.description
    assert _captions(ImageFolder(str(folder)))["not asked for"] == ()


def test_values_are_left_out_of_both_splits(folder: Path) -> None:
    source = ImageFolder(str(folder), exclude={"Style": ["open", "fluent"]})
    assert sorted(_captions(source)) == ["a red ball, noto", "a tree, noto"]
    assert ", 2 left out (style: open, fluent), " in source.description and not source.skipped
    card = format_data_card(data_card(source))
    assert "2 left out (style: open, fluent)" in card and "anna" not in card
    assert source.excluded is not None and len(source.excluded) == 2
    assert sorted(source.column_values(source.excluded, "style")) == ["fluent", "open"]
    prompts = [example.prompt for example in source.excluded]
    assert prompts == list(source.excluded.prompts or ()) and all("noto" not in prompt for prompt in prompts)
    assert ImageFolder(str(folder)).excluded is None
    several = ImageFolder(str(folder), exclude={"style": "open", "label": "tree"})
    assert ", 1 left out (style: open), 1 left out (label: tree), " in several.description


def test_what_is_left_out_stays_at_hand_for_judges(folder: Path) -> None:
    source = ImageFolder(str(folder), captions=["text", "label"], exclude={"style": "noto"}, personal="mask")
    split = source.excluded
    assert split is not None and split.name == "excluded"
    assert [example.prompt for example in split] == ["a red ball, noto", "a tree, noto"]
    assert source.column_values(split, "label") == ["ball", "tree"] and split[0].media.pixels[0, 0, 0] == 0
    assert source.column_values(source.train, "label") != ["ball", "tree"]
    assert split.content_hash not in (source.train.content_hash, source.val.content_hash)
    assert ImageFolder(str(folder)).excluded is None
    rest = ImageFolder(str(folder), captions=["text", "label"], exclude={"style": ["open", "fluent"]}, personal="mask")
    assert [example.prompt for example in rest.excluded or ()] == ["the sky, fluent", "a cat of [mail], open"]


def test_folders_and_numbers_are_values(tmp_path: Path) -> None:
    rows = [{"text": f"number {index}", "year": 2000 + index} for index in range(4)]
    folder = _write(tmp_path / "a", rows)
    (folder / "more").mkdir()
    Pillow.new("RGB", (8, 8)).save(folder / "more" / "x.png")
    source = ImageFolder(str(folder), exclude={"year": 2001, "folder": "more"})
    assert sorted(_captions(source)) == ["number 0", "number 2", "number 3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"captions": ["keyword"]},
            "data.captions=keyword: no metadata.jsonl has this column. Did you mean 'keywords'",
        ),
        ({"exclude": {"styl": "noto"}}, "data.exclude=styl: no file has a value in this column. Did you mean 'style'"),
        ({"exclude": {"style": "notto"}}, "data.exclude=style: no file has the value 'notto'. Did you mean 'noto'"),
        ({"exclude": {"style": ["noto", "fluent", "open"]}}, "two different pictures are needed"),
    ],
)
def test_mistakes_are_named(folder: Path, options: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        _ = ImageFolder(str(folder), **options).train
    assert message in str(error.value)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not go with caption=name"):
        ImageFolder(str(tmp_path), caption="name", captions=["text"])
    Pillow.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="Only tables and sub-folders give columns"):
        _ = ImageFolder(str(tmp_path), exclude={"style": "noto"}).train
    with pytest.raises(UserError, match=r"data\.captions=text: no metadata\.jsonl has this column\.$"):
        _ = ImageFolder(str(tmp_path), captions=["text"]).train


def test_personal_data_are_searched_in_all_captions(folder: Path) -> None:
    captions = ["label", "text", "keywords"]
    masked = ImageFolder(str(folder), captions=captions, personal="mask")
    assert _captions(masked)["cat"] == ("cat", "a cat of [mail], open", ("pet",))
    assert "personal data (1 mail) in 1 caption, masked" in masked.description
    assert "cat" not in _captions(ImageFolder(str(folder), captions=captions, personal="drop"))


def test_the_card_searches_all_captions(tmp_path: Path) -> None:
    folder = _write(
        tmp_path / "a", [{"label": f"cat {index}", "text": f"of a{index}@example.org"} for index in range(3)]
    )
    assert not data_card(ImageFolder(str(folder), captions=["label"]))["personal_data"]["counts"]
    card = data_card(ImageFolder(str(folder), captions=["label", "text"]))
    assert card["personal_data"]["counts"] == {"mail": 2}  # of the two that are trained on


def test_the_hash_is_that_of_before_unless_captions_are_drawn(folder: Path) -> None:
    def expected(split: Split) -> str:
        entries = source._partition[split.name == "val"]
        return cache_key("pictures", None, [(info.content_hash, item.prompt) for item, info in entries])

    source = ImageFolder(str(folder))
    assert [split.content_hash for split in (source.train, source.val)] == [*map(expected, (source.train, source.val))]
    hashes = {source.train.content_hash}
    for captions in (["label"], ["text", "label"], ["text", "keywords"], ["text", "label", "keywords"]):
        hashes.add(ImageFolder(str(folder), captions=captions).train.content_hash)
    assert len(hashes) == 5


def test_captions_of_sounds(tmp_path: Path) -> None:
    for index in range(3):
        soundfile.write(tmp_path / f"{index}.wav", np.full(2000, index / 5), 1000)
    table = "file_name,text,keywords\n0.wav,a bell,\n1.wav,a dog,\"dog, bark\"\n2.wav,rain,water\n"  # fmt: skip
    (tmp_path / "metadata.csv").write_text(table)
    source = AudioFolder(str(tmp_path), captions=["text", "keywords"])
    assert {example.prompt: example.captions for split in (source.train, source.val) for example in split} == {
        "a bell": (), "a dog": ("a dog", ("dog", "bark")), "rain": ("rain", ("water",))
    }  # fmt: skip


def test_prepared_data_draw_captions(folder: Path, tmp_path: Path) -> None:
    target = "genai.data.image_folder.ImageFolder"
    data = {"_target_": target, "path": str(folder), "size": 8, "captions": ["text", "keywords"]}
    prepare(DataNodes(data, {"_target_": "genai.modalities.image.Image", "size": 8}), tmp_path / "shards")
    source = Prepared(str(tmp_path / "shards"))
    packed = source.train.shards.dataset(source.modality)  # type: ignore[union-attr]
    count = len(packed)
    drawn = {text for epoch in range(30) for text in packed.batch(
        [*range(count)], ItemRandom(0, [epoch] * count, [*range(count)])
    ).prompts}  # fmt: skip
    assert {*packed.prompts} < drawn and drawn & {"red", "toy", "red, toy", "toy, red", "blue", "pet"}

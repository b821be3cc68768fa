"""Prepared data as a source."""

import json
import shutil
from pathlib import Path

import pytest

from genai.core.data import packed_prompts
from genai.core.errors import UserError
from genai.data.prepared import INDEX, Prepared
from genai.media.picture import Picture
from genai.modalities.image import Image
from genai.modalities.text import Text


def test_examples_are_what_the_model_sees(prepared: Path) -> None:
    source = Prepared(str(prepared))
    assert source.media is Picture and len(source.train) + len(source.val) == 12
    examples = [*source.train, *source.val]
    assert {example.media.pixels.shape for example in examples} == {(16, 16, 3)}
    assert sorted(example.prompt for example in examples) == ["red_ball"] * 6 + ["sky"] * 6
    assert "12 shards" not in source.description and "prepared, 4 shards" in source.description


def test_the_hash_is_that_of_the_content(prepared: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(prepared, tmp_path / "copy")
    one, two = Prepared(str(prepared)), Prepared(str(copy))
    assert one.train.content_hash == two.train.content_hash != one.val.content_hash


def test_other_settings_are_named(prepared: Path) -> None:
    shards = Prepared(str(prepared)).train.shards
    assert shards is not None
    assert len(shards.dataset(Image(16, flip=True))) == len(Prepared(str(prepared)).train)
    with pytest.raises(UserError, match=r"was prepared with modality\.size=16: give the same"):
        shards.dataset(Image(32))
    with pytest.raises(UserError, match=r"was prepared with modality\.channels=3"):
        shards.dataset(Image(16, channels=1))
    with pytest.raises(UserError, match="was prepared with Image, not Text"):
        shards.dataset(Text("bytes", None, block=8))


def test_the_modality_takes_over_the_state(prepared: Path, tmp_path: Path) -> None:
    source, modality = Prepared(str(prepared)), Image(16)
    modality.fit_split(source.train, tmp_path)
    assert modality.state() == source.modality.state() != Image(16).state()
    assert len(modality.pack_split(source.val, tmp_path)) == len(source.val)


def test_a_folder_without_an_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"index\.json is no index of prepared data: cannot read"):
        Prepared(str(tmp_path))
    (tmp_path / INDEX).write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="its format is 99; this version reads 1"):
        Prepared(str(tmp_path))


def test_its_prompts_are_known(prepared: Path) -> None:
    source = Prepared(str(prepared))
    assert source.train.shards is not None
    packed = source.train.shards.dataset(source.modality)
    assert set(packed_prompts(packed)) == {"red_ball", "sky"}

"""Copies and groups of data that were prepared in more shards than have their prompts listed."""

from pathlib import Path

import pytest

from genai.cli.compose import compose
from genai.data import partition_writer
from genai.data.partition_writer import DataNodes
from genai.data.prepare import prepare
from genai.data.prepared import Prepared
from genai.metrics.audit import audit_groups
from genai.metrics.base import EvalContext
from genai.metrics.groups import find_groups
from genai.metrics.image.copying import CopiedPictures
from genai.metrics.loss import ValidationLoss
from genai.modalities.shards import PROMPT_SHARDS
from tests.stubs import StubModel


@pytest.fixture
def source(tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """The pictures of the tar files, two in a shard."""
    monkeypatch.setattr(partition_writer, "SHARD_ITEMS", 2)
    words = ["modality=image", "modality.size=16", "data=webdataset", f"data.path={tars}", "data.val_fraction=0.4"]
    values = compose("train", words).values
    prepare(DataNodes(values["data"], values["modality"]), tmp_path / "data")
    source = Prepared(str(tmp_path / "data"))
    assert len(source.index.train) > PROMPT_SHARDS
    return source


def context(source: Prepared) -> EvalContext:
    known = {source.train.prompt(index): source.train[index].media for index in range(len(source.train))}
    first = source.train[0].media
    model = StubModel(source.modality, lambda prompts: [known.get(prompt, first) for prompt in prompts])
    return EvalContext(model, source, n=40)  # type: ignore[arg-type]


def test_copies_of_items_of_all_shards_are_found(source: Prepared) -> None:
    found = CopiedPictures().measure(context(source))
    assert found.copies == 1 and (found.train_items, found.held_out_items) == (len(source.train), len(source.val))


def test_groups_have_the_items_of_all_shards(source: Prepared) -> None:
    found = find_groups(context(source), "prompt")
    for name, split in (("train", source.train), ("val", source.val)):
        rows = {each.name: getattr(each, name) for each in found.groups}
        expected = [split[index].prompt for index in range(len(split))]
        assert rows == {prompt: [i for i, each in enumerate(expected) if each == prompt] for prompt in rows} and sum(
            map(len, rows.values())
        ) == len(split)
    assert audit_groups(context(source), {"val_loss": ValidationLoss()}, found).scores

"""Pictures in memory: what they may be, their split, a run on them and its resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import Dataset

import genai
from genai.core.errors import UserError
from genai.data.in_memory import InMemory

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
WORDS = ["modality=image", "modality.size=16", "model.network.width=16", "trainer=cpu", "val_every=2", "batch=4"]
WORDS += ["model.network.blocks=1", "trainer.threads=1", "val_items=2", "preview_every=100"]


class Squares(Dataset[Any]):
    """A data set without an end of its own: it never raises IndexError."""

    classes = ("red", "blue")

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(PIXELS[index % 20]).permute(2, 0, 1) / 255, index % 2


def prompts_of(source: InMemory) -> set[str]:
    return {example.prompt for split in (source.train, source.val) for example in split}


@pytest.mark.parametrize(
    ("examples", "prompts"),
    [
        (Squares(), {"red", "blue"}),
        ([Pillow.fromarray(pixels) for pixels in PIXELS], {""}),
        (torch.from_numpy(PIXELS), {""}),
        (PIXELS, {""}),
        ([(pixels, "a dot") for pixels in PIXELS], {"a dot"}),
        ([(pixels, torch.tensor(7)) for pixels in PIXELS], {"7"}),
    ],
)
def test_the_same_pictures_are_read_from_any_type(examples: Any, prompts: set[str]) -> None:
    source = InMemory(examples, val_fraction=0.2)
    pictures = sorted(example.media.pixels.tobytes() for split in (source.train, source.val) for example in split)
    assert pictures == sorted(pixels.tobytes() for pixels in PIXELS)
    assert (len(source.train), len(source.val), prompts_of(source)) == (16, 4, prompts)


def test_the_hash_knows_pictures_and_prompts() -> None:
    hashes = [
        InMemory(examples).train.content_hash
        for examples in (list(PIXELS), PIXELS, [(p, "a") for p in PIXELS], 255 - PIXELS)
    ]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (None, "were given in Python: give the same again"),
        (5, "it should be a Dataset, a list or an array"),
        (
            [np.zeros((4, 4, 2), np.uint8)],
            r"item 0: the shape \(4, 4, 2\) is not that of a picture with 1 or 3 channels",
        ),
        ([np.full((4, 4), 7.0)], "item 0: pixels of type float64"),
        (
            [{"image": PIXELS[0]}],
            r"item 0: it should be a picture or a \(picture, prompt\) pair, but has the type dict",
        ),
        ([(PIXELS[0], 1, 2)], "item 0: it should be a picture or .* the type tuple"),
        (["a.png"], "item 0: it should be a picture or .* the type str"),
        ([(PIXELS[0], 0.5)], "item 0: the prompt 0.5 should be"),
        (PIXELS[:1], "two different pictures are needed"),
        ([], "two different pictures are needed"),
    ],
)
def test_other_examples_are_refused(examples: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _ = InMemory(examples).train
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_on_data_in_memory_goes_on_only_with_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'data=world' and data=: give one of them"):
        genai.fit(WORDS, "data=world", data=PIXELS, runs=tmp_path)
    model = genai.fit(WORDS, data=PIXELS, runs=tmp_path, steps=2, **{"data.val_fraction": 0.2})
    assert model.file and model.record["data"]["val"] == 4
    run = model.file.parent.parent
    for data, message in ((None, "were given in Python"), (255 - PIXELS, "the data is not what this run was trained")):
        with pytest.raises(UserError, match=message):
            genai.fit(f"resume={run}", steps=3, data=data)
    with pytest.raises(UserError, match="were given in Python"):
        genai.measure(model)
    for data, own in ((PIXELS, True), (255 - PIXELS, False)):
        report = genai.measure(model, data=data, metrics=["val_loss"], out=tmp_path / "a.json")
        assert report["data"]["own"] == own
    assert genai.fit(f"resume={run}", steps=3, data=torch.from_numpy(PIXELS)).record["steps"] == 3


def test_a_run_on_other_data_is_measured_on_data_in_memory(tmp_path: Path) -> None:
    model = genai.fit(WORDS, "data.items=20", runs=tmp_path, steps=2)
    report = genai.measure(model, data=Squares(), metrics=["val_loss"], out=tmp_path / "a.json")
    assert not report["data"]["own"] and report["data"]["description"] == InMemory(Squares()).description
    with pytest.raises(UserError, match="'data=world' and data=: give one of them"):
        genai.measure(model, "data=world", data=Squares())

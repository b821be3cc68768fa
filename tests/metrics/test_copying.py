from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from genai.core.batch import Batch
from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.data.canaries import WithCanaries, add_canaries
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document
from genai.metrics.audio.copying import CopiedSounds
from genai.metrics.base import EvalContext, Result
from genai.metrics.canaries import canary_p
from genai.metrics.copying import Copying, CopyingResult, Neighbors, choose_prompts
from genai.metrics.image.copying import CopiedPictures
from genai.metrics.text.copying import CopiedTexts
from genai.metrics.video.copying import CopiedClips
from genai.modalities.audio import Audio
from genai.modalities.image import Image
from genai.modalities.text import Text
from tests.stubs import ClipModality, StubModel

NUM_TRAIN, NUM_HELD_OUT = 60, 20
Make = Callable[[np.random.Generator], Any]


class RandomSource(Source):
    """Random media, each with a caption of its own: "item 12"."""

    def __init__(self, media: type, make: Make, captions: bool = True) -> None:
        self.media, self.captions = media, captions  # type: ignore[misc]
        items = [make(np.random.default_rng(number)) for number in range(NUM_TRAIN + NUM_HELD_OUT)]
        self.parts = {"train": items[:NUM_TRAIN], "val": items[NUM_TRAIN:]}

    def _split(self, name: str) -> Split:
        prompts = [f"{name} {number}" if self.captions else "" for number in range(len(self.parts[name]))]
        examples = [Example(*pair) for pair in zip(self.parts[name], prompts, strict=True)]
        key = cache_key("random", self.media.__name__, name, self.captions)
        return Split(name, len(examples), examples.__getitem__, key, prompts)

    @property
    def train(self) -> Split:
        return self._split("train")

    @property
    def val(self) -> Split:
        return self._split("val")


def random_text(rng: np.random.Generator) -> Document:
    words = ["".join(rng.choice([*"abcdefghij"], rng.integers(2, 7))) for _ in range(120)]
    return Document(" ".join(words))


def random_picture(rng: np.random.Generator) -> Picture:
    return Picture(rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(4, 0).repeat(4, 1))


def random_sound(rng: np.random.Generator) -> Sound:
    hertz = np.repeat(rng.uniform(100, 3000, 8), 400)
    return Sound((0.5 * np.sin(2 * np.pi * hertz.cumsum() / 8000)).astype(np.float32), 8000)


def random_clip(rng: np.random.Generator) -> Clip:
    return Clip(rng.integers(0, 256, (6, 4, 4, 3), np.uint8).repeat(2, 1).repeat(2, 2), 8.0)


KINDS: dict[str, tuple[type, Make, type[Copying], Callable[[], Any]]] = {
    "text": (Document, random_text, CopiedTexts, lambda: Text("characters", None, 16)),
    "image": (Picture, random_picture, CopiedPictures, lambda: Image(16)),
    "audio": (Sound, random_sound, CopiedSounds, lambda: Audio(8000)),
    "video": (Clip, random_clip, CopiedClips, ClipModality),
}


def fresh(kind: str, prompts: Sequence[str], seed: int = 10_000) -> list[Any]:
    """New media, which are like held-out ones."""
    media = [KINDS[kind][1](np.random.default_rng(seed + number)) for number in range(len(prompts))]
    return [Document(prompt + text) for prompt, text in zip(prompts, media, strict=True)] if kind == "text" else media


def measure(kind: str, answer: Callable[[Source, list[str]], list[Any]], captions: bool = True, n: int = 60) -> Any:
    media, make, metric, modality = KINDS[kind]
    source = RandomSource(media, make, captions)
    model = StubModel(modality(), lambda prompts: answer(source, prompts))
    return metric().measure(EvalContext(model, source, n=n))  # type: ignore[arg-type]


def memorized(kind: str, source: Source, prompts: list[str]) -> list[Any]:
    """Training items: that of the caption or the beginning, or some other one."""
    items = [example.media for example in source.train]
    captions = {example.prompt: example.media for example in source.train}
    if kind == "text":
        own = [next((text for text in items if text.startswith(prompt)), prompt + items[3]) for prompt in prompts]
        return list(map(Document, own))
    return [captions.get(prompt, items[number % len(items)]) for number, prompt in enumerate(prompts)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_returns_training_items_alarms(kind: str) -> None:
    found = measure(kind, lambda source, prompts: memorized(kind, source, prompts))
    assert found.copies > 0.95 and found.nearer_train > 0.95
    assert found.p <= 1e-3 and found.alarm
    assert (found.train_items, found.held_out_items) == (NUM_TRAIN, NUM_HELD_OUT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_returns_new_items_does_not(kind: str) -> None:
    found = measure(kind, lambda source, prompts: fresh(kind, prompts))
    assert found.copies == found.reference_copies == 0
    assert found.p > 0.01 and found.smallest_p < 0.01 and found.alarm is False
    assert found.nearer_train == pytest.approx(found.expected_nearer_train, abs=0.25)


@pytest.mark.parametrize("captions", [True, False])
def test_pictures_without_captions_are_compared_with_all_items(captions: bool) -> None:
    def half(source: Source, prompts: list[str]) -> list[Any]:
        return [*memorized("image", source, prompts[::2]), *fresh("image", prompts[1::2])]

    found = measure("image", half, captions)
    assert found.copies == pytest.approx(0.5) and found.samples == (40 if captions else 60)
    assert found.expected_nearer_train == pytest.approx(0.5 if captions else 0.75, abs=0.15)


def test_blurred_pictures_are_near_to_everything_and_no_copies() -> None:
    def mean(source: Source, prompts: list[str]) -> list[Any]:
        pixels = np.mean([example.media.pixels for example in source.train], 0).astype(np.uint8)
        return [Picture(pixels)] * len(prompts)

    found = measure("image", mean, captions=False)
    assert found.copies == 0 and found.p > 0.5  # all are nearest to one item: that is one piece of evidence


def test_copies_of_held_out_items_are_no_copies_of_training_items() -> None:
    def held_out(source: Source, prompts: list[str]) -> list[Any]:
        return [source.val[number % NUM_HELD_OUT].media for number in range(len(prompts))]

    found = measure("image", held_out)
    assert found.copies == found.nearer_train == 0 and found.p == 1


def test_items_that_occur_twice_are_found() -> None:
    class Twice(RandomSource):
        def __init__(self) -> None:
            super().__init__(Picture, random_picture, captions=False)
            self.parts["train"] = self.parts["train"][:30] * 2

        def _split(self, name: str) -> Split:
            split = super()._split(name)
            return Split(name, len(split), split.load, split.content_hash + "twice")

    source = Twice()
    model = StubModel(Image(16), lambda prompts: [source.train[number % 30].media for number in range(len(prompts))])
    assert CopiedPictures().measure(EvalContext(model, source, n=40)).copies == 1  # type: ignore[arg-type]


def test_results_have_their_names_and_references() -> None:
    source = RandomSource(Picture, random_picture)
    model = StubModel(Image(16), lambda prompts: memorized("image", source, prompts))
    found: dict[str, Result] = CopiedPictures().compute(EvalContext(model, source, n=60))  # type: ignore[arg-type]
    assert list(found) == ["copying", "copying_nearer_train", "copying_p"]
    assert found["copying"].value == 1 and found["copying"].reference == 0
    assert "60 training and 20 held-out items" in found["copying"].description


def test_few_held_out_items_are_not_conclusive() -> None:
    nearest = [[number % 9] for number in range(40)]
    few = CopyingResult.of(Neighbors(nearest, [True] * 40, [False], [], num_train=9, num_held_out=1))
    assert few.copies == 1 and few.smallest_p > 0.05 and few.alarm is None
    many = CopyingResult.of(Neighbors(nearest, [True] * 40, [False], [], num_train=9, num_held_out=9))
    assert many.smallest_p < 0.01 and many.alarm is True


def test_an_alarm_needs_copies_and_a_small_p() -> None:
    near = [[number] for number in range(40)]
    found = CopyingResult.of(Neighbors(near, [False] * 40, [], [], num_train=40, num_held_out=40))
    assert found.p < 1e-3 and found.alarm is False
    few_copies = [True] * 4 + [False] * 36
    found = CopyingResult.of(Neighbors(near, few_copies, [True, False], [], num_train=40, num_held_out=40))
    assert found.alarm is False  # half of the held-out items are such copies, too


def test_prompts_are_of_as_many_items_of_both_splits() -> None:
    train, held_out = [f"train {i}" for i in range(50)], [f"val {i}" for i in range(4)]
    prompts, items = choose_prompts(train, held_out, 40, 0)
    assert len(prompts) == 40 and len(items) == 8
    assert sum(prompt.startswith("val") for prompt in prompts) == 20
    assert {prompts.count(prompt) for prompt in prompts} == {5}
    names = [*train, *held_out]
    assert {names[item] for item in items} == set(prompts)
    assert choose_prompts([""] * 5, [""], 7, 0) == ([""] * 7, [])


class RememberedLoss:
    """A method with a loss of items, lower for those that it has seen, if it remembers, and noise."""

    device = torch.device("cpu")

    def __init__(self, seen: Sequence[Picture], strength: float, has_loss: bool = True) -> None:
        self.seen = {Image(16).encode(each).numpy().tobytes() for each in seen}
        self.strength, self.has_loss = strength, has_loss

    def item_loss(self, batch: Batch) -> torch.Tensor | None:
        if not self.has_loss:
            return None
        own = (batch.x.float() / 255).flatten(1).mean(1) + torch.rand(len(batch.x))
        seen = torch.tensor([row.numpy().tobytes() in self.seen for row in batch.x])
        return (own - self.strength * seen).mean()


def canary_test(strength: float, has_loss: bool = True) -> float | None:
    source = add_canaries(RandomSource(Picture, random_picture), 20)
    assert isinstance(source, WithCanaries)
    seen = [each.media for each in source.train][NUM_TRAIN:]
    model = SimpleNamespace(modality=Image(16), method=RememberedLoss(seen, strength, has_loss))
    return canary_p(model, source)  # type: ignore[arg-type]


def test_remembered_canaries_are_found() -> None:
    forgotten, remembered = canary_test(0.0), canary_test(0.5)
    assert forgotten is not None and forgotten > 0.05
    assert remembered is not None and remembered <= 1e-3
    assert canary_test(0.5, has_loss=False) is None

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from genai.core.errors import UserError
from genai.data.image_folder import ImageFolder
from genai.media.picture import Picture
from genai.metrics.base import EvalContext, Result
from genai.metrics.image import picture_items
from genai.metrics.image.picture_items import read_items
from genai.metrics.image.prompt_retrieval import KINDS, PromptRetrieval, _part_name
from genai.modalities.image import Image
from tests.stubs import StubModel

COLORS = {"red": (230, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 230), "yellow": (240, 210, 40)}
COLORS |= {"violet": (150, 50, 200), "gray": (130, 130, 130)}
SHAPES = ("disk", "square", "bar", "pillar", "cross", "ring")
STYLES = ("plain", "outlined", "tinted", "grainy")
GONE = {"gray cross", "violet ring", "blue bar", "red pillar"}
"""Labels of which nothing is trained on."""
SIDE = 32


def draw(shape: str, color: str, style: str) -> Pillow.Image:
    """Draw a colored shape; the style is in its background, its outline and its grain."""
    rng = np.random.default_rng([SHAPES.index(shape), list(COLORS).index(color), STYLES.index(style)])
    x, y = (SIDE / 2 + rng.uniform(-2, 2, 2)).tolist()
    r = rng.uniform(9, 11)
    background, line = ("#dcdcff" if style == "tinted" else "white"), "black" if style == "outlined" else None
    image = Pillow.new("RGB", (SIDE, SIDE), background)
    canvas, fill = ImageDraw.Draw(image), COLORS[color]
    boxes = {
        "disk": [(x - r, y - r, x + r, y + r)],
        "square": [(x - r, y - r, x + r, y + r)],
        "bar": [(x - r, y - r / 3, x + r, y + r / 3)],
        "pillar": [(x - r / 3, y - r, x + r / 3, y + r)],
        "cross": [(x - r, y - r / 4, x + r, y + r / 4), (x - r / 4, y - r, x + r / 4, y + r)],
        "ring": [(x - r, y - r, x + r, y + r)],
    }
    for box in boxes[shape]:
        (canvas.ellipse if shape in ("disk", "ring") else canvas.rectangle)(box, fill, line)
    if shape == "ring":
        canvas.ellipse((x - r / 2, y - r / 2, x + r / 2, y + r / 2), background, line)
    noise = rng.normal(0, 12 if style == "grainy" else 2, (SIDE, SIDE, 3))
    return Pillow.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def part_of(label: str, style: str, number: int) -> str:
    """Return the part of an item: some labels are held out, and of each other label one style."""
    if label in GONE:
        return "new thing"
    return "other drawing" if STYLES.index(style) == number % len(STYLES) else "train"


def write_folder(folder: Path, rows: Sequence[tuple[str, str, str, str]], split: str) -> None:
    """Write pictures (shape, color, style, part) with their table below ``folder/split``."""
    (folder / split).mkdir(parents=True)
    lines = []
    for shape, color, style, part in rows:
        label, name = f"{color} {shape}", f"{color}-{shape}-{style}.png"
        draw(shape, color, style).save(folder / split / name)
        columns = {"label": label, "style": style, "group": shape, "split": part, "keywords": [color, shape, "thing"]}
        lines.append(json.dumps({"file_name": name, "text": f"{label}, {style}", **columns}))
    (folder / split / "metadata.jsonl").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colored shapes in four styles in ``all``; ``data`` has three of them, and ``tinted`` the fourth."""
    root = tmp_path_factory.mktemp("shapes")
    rows = [
        (shape, color, style, part_of(f"{color} {shape}", style, number))
        for number, (shape, color) in enumerate(product(SHAPES, COLORS))
        for style in STYLES
    ]
    for name, data in (("all", rows), ("data", [row for row in rows if row[2] != "tinted"])):
        write_folder(root / name, [row for row in data if row[3] == "train"], "train")
        write_folder(root / name, [row for row in data if row[3] != "train"], "test")
    tinted = [row for row in rows if row[2] == "tinted"]
    write_folder(root / "tinted", tinted[1:], "train")
    write_folder(root / "tinted", tinted[:1], "test")
    return root


def pictures(folder: Path) -> dict[str, Picture]:
    """Return all pictures by their prompts."""
    source = ImageFolder(str(folder))
    return {example.prompt: example.media for split in (source.train, source.val) for example in split}


def results(folder: Path, answer: Callable[[list[str]], list[Any]], **fields: Any) -> dict[str, Result]:
    """Return the results by name without ``prompt_retrieval``."""
    context = EvalContext(StubModel(Image(SIDE), answer), ImageFolder(str(folder)), **fields)  # type: ignore[arg-type]
    metric = PromptRetrieval()
    metric.check(context)
    return {name.removeprefix("prompt_retrieval"): result for name, result in metric.compute(context).items()}


def test_real_pictures_reach_the_ceiling(folder: Path) -> None:
    real = pictures(folder / "data")
    found = results(folder / "data", lambda prompts: [real[prompt] for prompt in prompts], references=folder / "tinted")
    for suffix in ("", "_other_drawing", "_new_thing"):
        assert found[suffix].value == found[suffix].reference >= 0.6
        assert "pictures of tinted (95 %: " in found[suffix].description
        assert found[f"_top5{suffix}"].value >= 0.9
        assert found[f"_shuffled{suffix}"].value <= 0.1
        assert found[f"_in_group{suffix}"].value <= found[f"_top5{suffix}"].value
        for kind in ("_gradient", "_flat"):
            assert found[f"{kind}{suffix}"].value == found[f"{kind}{suffix}"].reference
    assert found["_style_other_drawing"].value == found["_style_other_drawing"].reference >= 0.7
    kinds = {name.removesuffix("_other_drawing").removesuffix("_new_thing").removeprefix("_") for name in found}
    assert kinds == {"", *KINDS} and found["_frechet_other_drawing"].value is None  # too few pictures for that
    assert found["_composition_other_drawing"].value == 1
    assert "_composition_new_thing" not in found  # there is nothing else to be near to
    assert found["_nearest"].value == 0 < found["_nearest_other_drawing"].value
    assert found["_spread"].value == 0 and "no two real pictures have one caption" in found["_spread"].description


def test_a_model_that_ignores_prompts_is_at_the_floor(folder: Path) -> None:
    real = pictures(folder / "data")
    shuffled = dict(zip(real, np.random.default_rng(0).permutation(np.array(list(real.values()), object)), strict=True))
    found = results(
        folder / "data", lambda prompts: [shuffled[prompt] for prompt in prompts], references=folder / "tinted"
    )
    assert found[""].value <= 0.12 and found[""].reference >= 0.6
    assert found["_top5"].value <= 0.3
    assert found["_composition_other_drawing"].value <= 0.6
    assert found["_other_drawing"].value <= 0.2 and found["_new_thing"].value <= 0.25


def test_a_model_that_repeats_what_it_saw_is_seen_through(folder: Path) -> None:
    train = {example.prompt: example.media for example in ImageFolder(str(folder / "data")).train}

    def answer(prompts: list[str]) -> list[Picture]:
        """Return the trained drawing of the same thing in any style, else any drawing."""
        things = [prompt.partition(",")[0] for prompt in prompts]
        names = [next((name for name in train if name.startswith(thing)), "green disk, plain") for thing in things]
        return [train.get(prompt, train[name]) for prompt, name in zip(prompts, names, strict=True)]

    found = results(folder / "data", answer, references=folder / "tinted")
    assert found["_nearest"].value == found["_nearest_other_drawing"].value == 0 < found["_nearest"].reference
    assert found["_composition_other_drawing"].value == 0
    assert found["_style_other_drawing"].value <= 0.35 and found["_style_other_drawing"].reference >= 0.7
    assert found["_new_thing"].value <= 0.2  # it has no drawing of these
    assert found[""].value == found[""].reference < 0.96  # more than the references let real pictures have


def test_references_that_were_trained_on_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="all of them were trained on"):
        results(folder / "data", lambda prompts: [], references=folder / "data" / "train")
    real = pictures(folder / "all")
    found = results(folder / "data", lambda prompts: [real[prompt] for prompt in prompts], references=folder / "all")
    num_trained = len(ImageFolder(str(folder / "data")).train)
    assert f"note: {num_trained} of 144 pictures of all look like training pictures" in capsys.readouterr().err
    assert found[""].value == found[""].reference >= 0.6


def test_references_need_captions(folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        Pillow.new("RGB", (SIDE, SIDE), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match="these pictures have no captions"):
        results(folder / "data", lambda prompts: [], references=tmp_path)
    with pytest.raises(UserError, match="compares what captions name, and these pictures have none"):
        results(tmp_path, lambda prompts: [])


def test_single_samples_are_judged_by_references(folder: Path) -> None:
    source, real = ImageFolder(str(folder / "data")), pictures(folder / "data")
    context = EvalContext(StubModel(Image(SIDE)), source, references=folder / "tinted")  # type: ignore[arg-type]
    judge = PromptRetrieval().judge(context)
    assert judge is not None
    prompts = list(real)
    shifted = [*prompts[7:], *prompts[:7]]
    found, wrong = judge.matches(list(real.values()), prompts), judge.matches(list(real.values()), shifted)
    assert sum(map(bool, found)) >= 0.6 * len(prompts) and sum(map(bool, wrong)) <= 0.1 * len(prompts)
    assert judge.matches([real[prompts[0]]], ["a gray cat"]) == [None]
    captions = judge.caption(list(real.values()))
    assert sum(prompt == text for prompt, text in zip(prompts, captions, strict=True)) >= 0.5 * len(prompts)
    assert PromptRetrieval().judge(replace(context, references=None)) is None


def test_names_of_parts_neither_hide_results_nor_break_lines() -> None:
    assert [_part_name(text) for text in ("Other Drawing", "style", "a\x1b[31m\nb", "", "é")] == [
        "other_drawing", "held_out_style", "a_31m_b", "other", "_",
    ]  # fmt: skip


def test_what_the_data_leave_out_is_the_reference_if_it_has_the_same_labels(folder: Path) -> None:
    real = pictures(folder / "all")
    model = StubModel(Image(SIDE), lambda prompts: [real[prompt] for prompt in prompts])
    for exclude, kind in (
        ({"style": "tinted"}, "pictures that were left out of both splits"),
        ({"group": "ring"}, "held-out pictures"),
    ):
        source = ImageFolder(str(folder / "all"), exclude=exclude)  # type: ignore[arg-type]
        found = PromptRetrieval().compute(EvalContext(model, source, n=40))["prompt_retrieval"]  # type: ignore[arg-type]
        assert f"trained items by {kind} (95 %" in found.description
        assert found.value == found.reference >= 0.5


def test_classes_without_styles_have_other_pictures_as_references(tmp_path: Path) -> None:
    for (shape, color), (number, style) in product(product(SHAPES[:3], COLORS), enumerate(STYLES)):
        for split, index in (("train", number), ("val", number + 4)):
            (name := tmp_path / split / f"{color}_{shape}").mkdir(parents=True, exist_ok=True)
            pixels = np.roll(np.asarray(draw(shape, color, style)), index % 3 - 1, 0)
            Pillow.fromarray(pixels).save(name / f"{index}.png")
    val: dict[str, list[Picture]] = {}
    for example in ImageFolder(str(tmp_path)).val:
        val.setdefault(example.prompt, []).append(example.media)
    found = results(tmp_path, lambda prompts: [val[prompt].pop() for prompt in prompts], n=12)
    assert found["_held_out"].value >= 0.8 and found["_held_out"].reference >= 0.8
    assert "found best of 18: held-out items by held-out pictures" in found["_held_out"].description
    assert found["_spread"].value > 0 and found["_spread"].reference > 0
    assert not any("style" in name or "composition" in name or "group" in name for name in found)


def test_very_many_styles_are_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ImageFolder(str(folder / "data"))
    assert len(set(read_items(source, source.train, Image(SIDE)).styles)) == 3
    monkeypatch.setattr(picture_items, "MAX_STYLES", 2)
    assert set(read_items(source, source.train, Image(SIDE)).styles) == {""}


def test_held_out_pictures_or_captions_take_the_place_of_references(folder: Path) -> None:
    real = pictures(folder / "all")
    found = results(folder / "all", lambda prompts: [real[prompt] for prompt in prompts], n=40)
    assert "trained items by held-out pictures (95 %" in found[""].description
    assert found[""].value == found[""].reference >= 0.5
    # each label has one held-out drawing, so there is no other one to compare it with
    assert "by captions of other items" in found["_other_drawing"].description
    assert found["_other_drawing"].value == found["_other_drawing"].reference >= 0.2
    assert found["_shuffled_other_drawing"].value <= 0.1

"""Build a data set of captioned pictures, emoji as four vendors draw them: ``python scripts/emoji.py OUT [--size 64]``.

OUT gets ``train/`` and ``test/`` with a ``metadata.jsonl`` each, as ``data=image_folder`` reads them, and
``LICENSES.md`` and ``README.md``. npm fetches the five packages of ``emoji_packages.py``, whose sha256 are compared. No
script of a package is run. ``pip install resvg-py==0.5.0`` draws. A stopped build goes on when it is started again.

``split`` in the tables: ``train``; ``other_drawing``: this drawing is held out, and a drawing of the same emoji by
another vendor is trained on; ``new_concept``: no drawing of its family is trained on. A family is what differs only in
gender, number, direction or time, such as all clock faces.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from emoji_packages import LABELS, VENDORS, Packages, licenses_text, show
from numpy.typing import NDArray
from PIL import Image

RENDERER = "resvg-py==0.5.0"
NEW_CONCEPTS, HELD_OUT_DRAWINGS = 0.05, 0.24
"""Fractions of the families: of which nothing is trained on, and of which the drawings of one vendor are held out."""
MIN_DIFFERENCE = 4.0
"""Root mean square of the difference, of 255, between a held-out 8 x 8 thumbnail and each that is trained on."""
VARIANT_WORDS = re.compile(
    r"\b(man|woman|men|women|person|people|boy|girl|child|mother|father|mrs|mr|santa|claus|mx|prince|princess|deaf|light|"
    r"medium|dark|skin|tone|left|right|facing|with|and|in|of|the|a|s|o|clock|thirty|one|two|three|four|five|six|seven|eight|"
    r"nine|ten|eleven|twelve|\d+)\b"
)
"""Words of labels that differ within a family."""


@dataclass
class Drawing:
    """A drawing of an emoji by a vendor: its SVG, and its row in the table."""

    style: str
    svg: str
    mirrored: bool
    row: dict[str, Any]
    split: str = "train"
    thumbnail: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    @property
    def file(self) -> str:
        """Its file below ``train`` or ``test``."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.row["label"].lower()).strip("-")
        return f"{self.style}/{slug}-{self.row['code'].lower()}.png"

    @property
    def folder(self) -> str:
        """The folder of its side."""
        return "train" if self.split == "train" else "test"


@dataclass(frozen=True)
class IconSet:
    """The drawings of a vendor: bodies of SVG by name, and names by the code points of emoji."""

    icons: Mapping[str, Any]
    names: Mapping[str, str]

    def find(self, code: str) -> tuple[str, bool] | None:
        """Return the SVG of an emoji, and whether it is to be mirrored; ``None`` if the vendor has not drawn it."""
        code, mirrored = code.lower(), False
        name = next(
            (self.names[key] for key in (code, code.replace("-fe0f", ""), f"{code}-fe0f") if key in self.names), None
        )
        while name is not None and name not in self.icons["icons"]:
            alias = self.icons["aliases"].get(name, {})
            name, mirrored = alias.get("parent"), mirrored or bool(alias.get("hFlip"))
        if name is None:
            return None
        icon = self.icons["icons"][name]
        left, top = icon.get("left", 0), icon.get("top", 0)
        width, height = (icon.get(key, self.icons.get(key, 16)) for key in ("width", "height"))
        begin = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'{begin} viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>', mirrored


# ------------------------------------------------------------------------------------------------ emoji and splits


def family(label: str, group: str, subgroup: str) -> str:
    """Return the key of what an emoji shows, without gender, number, direction and time."""
    if group == "flags":
        return f"flag {label}"
    if subgroup == "clock-face" or (subgroup == "time" and re.search("o[’']clock|thirty", label)):
        return "clock face"
    if subgroup == "keycap":
        return "keycap"
    if subgroup == "zodiac":
        return label.lower()
    if subgroup == "family" or label.startswith("family"):
        return "family"
    text = re.sub(r"[^a-z ]", " ", label.lower().replace("’s", ""))
    return " ".join(sorted({*VARIANT_WORDS.sub(" ", text).split()})) or text.strip()


def fraction(text: str) -> float:
    """Return a number in [0, 1) that depends on a text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def list_drawings(packages: Packages) -> list[Drawing]:
    """Return all drawings, in the order of their families, with the splits that their families give them."""
    sets = {
        vendor.style: IconSet(*(packages.read_json(vendor.package, name) for name in ("icons.json", "chars.json")))
        for vendor in VENDORS
    }
    names = packages.read_json(LABELS, "meta/groups.json")
    families: dict[str, list[dict[str, Any]]] = {}
    for emoji in packages.read_json(LABELS, "en/data.json"):
        if emoji.get("group") not in (None, 2):  # letters of flags; parts of others, such as tones of skin
            group, subgroup = names["groups"][str(emoji["group"])], names["subgroups"][str(emoji["subgroup"])]
            emoji.update(group=group, subgroup=subgroup, family=family(emoji["label"], group, subgroup))
            families.setdefault(emoji["family"], []).append(emoji)
    drawings = [
        Drawing(style, *found, make_row(emoji, style), family_split(key, style))
        for key in sorted(families)
        for emoji in families[key]
        for style, icons in sets.items()
        if (found := icons.find(emoji["hexcode"]))
    ]
    trained = {drawing.row["code"] for drawing in drawings if drawing.split == "train"}
    for drawing in drawings:
        if drawing.split == "other_drawing" and drawing.row["code"] not in trained:
            drawing.split = "train"
    return drawings


def family_split(key: str, style: str) -> str:
    """Return the split of the drawings of a family in a style."""
    if fraction(f"concept {key}") < NEW_CONCEPTS:
        return "new_concept"
    is_held_out = fraction(f"drawing {key}") < HELD_OUT_DRAWINGS
    return "other_drawing" if is_held_out and VENDORS[int(fraction(f"vendor {key}") * 4)].style == style else "train"


def make_row(emoji: Mapping[str, Any], style: str) -> dict[str, Any]:
    """Return the columns of a drawing that are known before it is drawn."""
    values = {name: emoji[name] for name in ("group", "subgroup", "family")}
    label, keywords = emoji["label"], emoji.get("tags", [])
    return {"text": f"{label}, {style}", "label": label, "style": style, "keywords": keywords, **values} | {
        "code": emoji["hexcode"]
    }


def move_near_copies(drawings: Sequence[Drawing]) -> int:
    """Train on held-out drawings that look like one that is trained on; return their number."""
    thumbnails = np.stack([drawing.thumbnail for drawing in drawings]).astype(np.float32)
    trained = thumbnails[[drawing.split == "train" for drawing in drawings]]
    held_out = [number for number, drawing in enumerate(drawings) if drawing.split != "train"]
    near = [
        number for number in held_out if np.sqrt(np.square(trained - thumbnails[number]).mean(1)).min() < MIN_DIFFERENCE
    ]
    for number in near:
        drawings[number].split = "train"
    name_known_concepts(drawings)
    return len(near)


def name_known_concepts(drawings: Sequence[Drawing]) -> None:
    """Correct the split of new concepts one of whose drawings is trained on after all."""
    trained = [drawing.row for drawing in drawings if drawing.split == "train"]
    families, codes = {row["family"] for row in trained}, {row["code"] for row in trained}
    for drawing in drawings:
        if drawing.split == "new_concept" and drawing.row["family"] in families:
            drawing.split = "other_drawing" if drawing.row["code"] in codes else "train"


# -------------------------------------------------------------------------------------------------------- pictures


class Pictures:
    """The pictures of a data set: drawn into a hidden folder, and moved to ``train`` or ``test`` when all are there.

    Args:
        folder: of the data set.
        size: sides of the pictures in pixels.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.new = folder / ".drawn"

    def draw_missing(self, drawings: Sequence[Drawing]) -> list[str]:
        """Draw what is not there in this size, and fill in thumbnails. Return errors of what cannot be drawn."""
        errors = list[str]()
        for number, drawing in enumerate(drawings, 1):
            image = self._find(drawing)
            if image is None:
                try:
                    image = render(drawing, self.size)
                except ValueError as error:
                    errors.append(f"{drawing.file}: {error}")
                    continue
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                write_whole(self.new / drawing.file, buffer.getvalue())
            drawing.thumbnail = np.asarray(image.resize((8, 8), Image.Resampling.BOX)).ravel()
            if number % 50 == 0 or number == len(drawings):
                show(f"drawing {number:,} of {len(drawings):,}")
        return errors

    def _find(self, drawing: Drawing) -> Image.Image | None:
        """Return a picture that was drawn before; ``None`` if there is none of this size."""
        for folder in self._places:
            try:
                with Image.open(folder / drawing.file) as image:
                    if image.size == (self.size, self.size):
                        return image.convert("RGB")
            except OSError:
                continue
        return None

    @cached_property
    def _places(self) -> list[Path]:
        return [self.new, self.folder / "train", self.folder / "test"]

    def place(self, drawings: Sequence[Drawing]) -> None:
        """Move all pictures to their sides, and write the tables."""
        for drawing in drawings:
            target = self.folder / drawing.folder / drawing.file
            target.parent.mkdir(parents=True, exist_ok=True)
            for path in (folder / drawing.file for folder in self._places):
                if path == target or not path.exists():
                    continue
                if path.is_relative_to(self.new) or not target.exists():
                    os.replace(path, target)
                else:
                    path.unlink()
        for side in ("train", "test"):
            rows = [
                json.dumps({"file_name": drawing.file, **drawing.row, "split": drawing.split}, ensure_ascii=False)
                for drawing in drawings
                if drawing.folder == side
            ]
            write_whole(self.folder / side / "metadata.jsonl", "".join(f"{row}\n" for row in rows).encode())
        shutil.rmtree(self.new, ignore_errors=True)


def render(drawing: Drawing, size: int) -> Image.Image:
    """Return a drawing on white, ``size`` pixels wide and high. Raises ``ValueError`` if its SVG cannot be drawn."""
    import resvg_py

    try:
        # with its own size, a drawing that is not square keeps its shape
        svg = drawing.svg.replace("<svg ", f'<svg width="{size}" height="{size}" ', 1)
        data = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
    except Exception as error:  # the package raises types of its own
        raise ValueError(str(error)[:80]) from error
    with Image.open(io.BytesIO(data)) as image:
        pixels = image.convert("RGBA")
    canvas = Image.new("RGBA", (size, size), "white")
    canvas.alpha_composite(pixels if pixels.size == canvas.size else pixels.resize(canvas.size))
    picture = canvas.convert("RGB")
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if drawing.mirrored else picture


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


# ------------------------------------------------------------------------------------------------------------ texts


def card_text(drawings: Sequence[Drawing], size: int) -> str:
    """Return the card of the data set, with metadata as the Hugging Face hub reads it."""
    styles, splits = (Counter(values) for values in zip(*((d.style, d.split) for d in drawings), strict=True))
    licenses = "".join(f"- {name}\n" for name in dict.fromkeys([*(vendor.license for vendor in VENDORS)]))
    rows = "".join(f"| {vendor.style} | {styles[vendor.style]:,} | {vendor.license} |\n" for vendor in VENDORS)
    num_emoji = len({drawing.row["code"] for drawing in drawings})
    return f"""---
license:
{licenses}language: en
pretty_name: Emoji of four vendors
task_categories:
- text-to-image
size_categories:
- 1K<n<10K
---
# Emoji of four vendors

{len(drawings):,} pictures of {num_emoji:,} emoji, {size} x {size} pixels.
[LICENSES.md](LICENSES.md) names all authors and licenses. They travel with the pictures and with what is made of them.

| style | pictures | license |
|---|---|---|
{rows}
| split | pictures | |
|---|---|---|
| train | {splits["train"]:,} | in `train/` |
| other_drawing | {splits["other_drawing"]:,} | in `test/`: `train/` has another vendor's drawing of the same emoji |
| new_concept | {splits["new_concept"]:,} | in `test/`: `train/` has no drawing of its family |

Columns: `file_name`, `text` (label and style), `label`, `style`, `keywords`, `group`, `subgroup`, `family`, `code`,
`split`. Emoji that differ only in gender, number, direction or time have one `family`. Only the default tone of skin is
drawn. Held-out pictures whose thumbnails are like one that is trained on were moved to `train/`.
"""


def check_renderer() -> None:
    """Raise ``SystemExit`` if the package that draws is missing, or another release, which may draw otherwise."""
    name, _, needed = RENDERER.partition("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = ""
    if found != needed:
        sys.exit(f"{name} {needed} draws the pictures, and {found or 'none'} is installed: pip install {RENDERER}")


def build(folder: Path, size: int) -> Iterator[str]:
    """Build the data set in ``folder``, with pictures of ``size`` pixels; yield lines of what was made."""
    check_renderer()
    packages, pictures = Packages(folder / ".packages"), Pictures(folder, size)
    packages.fetch([*(vendor.package for vendor in VENDORS), LABELS])
    drawings = list_drawings(packages)
    errors = pictures.draw_missing(drawings)
    show("")
    yield from (f"not drawn: {error}" for error in errors)
    drawings = [drawing for drawing in drawings if drawing.thumbnail.size]
    num_moved = move_near_copies(drawings)
    pictures.place(drawings)
    write_whole(folder / "LICENSES.md", licenses_text(packages.read(LABELS, "LICENSE")).encode())
    write_whole(folder / "README.md", card_text(drawings, size).encode())
    splits = Counter(drawing.split for drawing in drawings)
    yield (
        f"{len(drawings):,} pictures of {len({drawing.row['code'] for drawing in drawings}):,} emoji in {folder}: "
        + ", ".join(f"{splits[name]:,} {name}" for name in ("train", "other_drawing", "new_concept"))
    )
    yield f"{num_moved} that look like trained ones were moved to train; licenses: {folder / 'LICENSES.md'}"


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, build, and say what was made."""
    parser = argparse.ArgumentParser(prog="scripts/emoji.py", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("out", type=Path, help="folder of the data set")
    parser.add_argument("--size", type=int, default=64, help="width and height of the pictures in pixels (default: 64)")
    options = parser.parse_args(words)
    if not 8 <= options.size <= 1024:
        parser.error(f"--size {options.size}: it should be from 8 to 1024.")
    try:
        for line in build(options.out.expanduser(), options.size):
            print(line)
    except KeyboardInterrupt:
        sys.exit("\nstopped: start it again to go on.")
    except OSError as error:
        sys.exit(f"{error.filename or options.out}: {error.strerror or error}.")


if __name__ == "__main__":
    main()

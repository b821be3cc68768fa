"""Draw held-out captions beside the real drawings: ``python benchmarks/emoji_sheet.py RUN FOLDER OUT.png``.

FOLDER is what ``scripts/emoji.py`` made. Three pictures a caption: the real drawing and two samples, seeds 0 and 1.
First come drawings of things that were trained on in other styles, then things that were never trained on. The captions
are evenly spread, none is chosen.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import genai
from genai.core.files import write_file
from genai.media.picture import Picture, contact_sheet

PARTS = ("other_drawing", "new_concept")
EXCLUDED_STYLE = "openmoji"
COUNT = 9
"""Captions of each part."""


def held_out(folder: Path, part: str) -> list[dict[str, str]]:
    """Return rows of the table of held-out drawings, evenly spread."""
    lines = (folder / "test" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == part and row["style"] != EXCLUDED_STYLE]
    return [rows[int(index)] for index in np.linspace(0, len(rows) - 1, COUNT)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model = genai.load(arguments.run)
    pictures = []
    for row in [row for part in PARTS for row in held_out(arguments.folder, part)]:
        pictures.append((row["text"], Picture.read(arguments.folder / "test" / row["file_name"])))
        pictures += [("", sample) for sample in model.sample(row["text"], n=2, seed=0)]
    write_file(arguments.out, contact_sheet(pictures, min_width=64, columns=9).to_bytes())


if __name__ == "__main__":
    main()

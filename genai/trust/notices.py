"""What the files of a data folder say of it themselves: licenses, metadata, opt-outs and consent, quoted."""

from dataclasses import dataclass
from pathlib import Path

from genai.core.errors import UserError
from genai.core.files import read_text
from genai.core.terminal import terminal_text

CONSENT = "consent.yaml"
NAMES = (
    "LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md", "COPYING", "COPYING.txt",
    "NOTICE", "NOTICE.txt", "TERMS.txt", "TERMS.md", "README.md", "README.txt", "CITATION.cff", "dataset_info.json",
    "dataset_infos.json", "datapackage.json", "croissant.json", "robots.txt", "ai.txt", "noai.txt", "opt-out.txt",
    "optout.txt", "tdmrep.json", CONSENT,
)  # fmt: skip
"""Names of such files, in any case. ``tdmrep.json`` and ``ai.txt`` reserve rights against text and data mining."""
MAX_CHARACTERS, MAX_LINES = 1500, 40
"""Of a file that are quoted."""


@dataclass(frozen=True)
class Notice:
    """A file and the beginning of its text, without control characters, or why it is not quoted."""

    name: str
    text: str


def find_notices(path: Path) -> list[Notice]:
    """Return the notices in a folder, or beside a file, in the order of their names; none elsewhere."""
    folder = path if path.is_dir() else path.parent if path.is_file() else None
    if folder is None:
        return []
    names = {name.lower() for name in NAMES}
    try:
        files = sorted(file for file in folder.iterdir() if file.name.lower() in names and file != path)
    except OSError:
        return []
    return [_read(file, folder) for file in files]


def _read(file: Path, folder: Path) -> Notice:
    name = terminal_text(file.name)
    try:
        text = read_text(file, "card", folder)
    except UserError as error:
        return Notice(name, terminal_text(f"(not quoted: {error})"))
    lines = terminal_text(text[:MAX_CHARACTERS]).strip().split("\n")[:MAX_LINES]
    begin = "\n".join(lines)
    return Notice(name, begin + "\n..." * (len(begin) < len(text.strip())))

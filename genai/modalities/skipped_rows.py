"""Rows of data that cannot be used: kept beside the packed file, so that they are named also when it is cached."""

import sys
from collections.abc import Sequence
from pathlib import Path

from genai.core.cache import write_json
from genai.core.errors import short_text
from genai.core.files import read_text
from genai.core.place import find_place
from genai.core.plain_data import parse_json
from genai.core.terminal import one_line

SUFFIX = ".json"
"""Of the file beside the packed one."""
MAX_NAMED = 5
"""Rows that are named."""


def write_skipped(path: Path, errors: Sequence[tuple[int, str]]) -> None:
    """Write index and reason of the first skipped rows beside the packed file ``path``."""
    write_json(path.with_suffix(SUFFIX), [[index, short_text(reason)] for index, reason in errors[:MAX_NAMED]])


def print_skipped(path: Path, places: Sequence[str]) -> None:
    """Name the skipped rows of the packed file ``path`` on standard error; ``places`` are those of all rows.

    Only the first of several processes does.
    """
    if not find_place().is_first:
        return
    for index, reason in parse_json(read_text(path.with_suffix(SUFFIX), "record"), str(path)):
        print(one_line(f"skipped: {places[index]}: {reason}"), file=sys.stderr, flush=True)

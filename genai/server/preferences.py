"""Answers that people prefer, one JSON object a line: ``{"prompt", "chosen", "rejected"}``."""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from genai.core.errors import RunError, UserError
from genai.core.files import check_file, make_folder, open_file
from genai.core.filesystem import sync_file

FILE_NAME, MEDIA_FILE_NAME = "preferences.jsonl", "media_preferences.jsonl"
"""Files of texts, from which models learn, and of other media, whose lines have names of files."""
MAX_BYTES = 256 * 2**20
"""Size from which nothing more is added."""
Prompt = str | Sequence[Mapping[str, str]]
"""A text, or the messages of a chat."""


class Preferences:
    """The file of preferences in a folder.

    Args:
        root: the folder.
        name: of the file.
    """

    def __init__(self, root: Path, name: str = FILE_NAME) -> None:
        self.root, self.file = root, root / name
        self._count: tuple[int, int] = (0, 0)
        self._lock = threading.Lock()

    def add(self, prompt: Prompt, chosen: str, rejected: str) -> None:
        """Append a line. Raises ``UserError`` if the file is full or no file, ``RunError`` if it cannot be written."""
        line = json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected}, ensure_ascii=False) + "\n"
        with self._lock:
            try:
                make_folder(self.root)
                if os.path.lexists(self.file):
                    check_file(self.file, MAX_BYTES, self.root)
                with self.file.open("ab") as target:
                    target.write(line.encode("utf-8", "replace"))
                    sync_file(target)
            except OSError as error:
                raise RunError(f"{self.file.name} cannot be written: {error.strerror}.") from error

    def count(self) -> int:
        """Return the number of lines; 0 if there is no file. Raises ``UserError``."""
        if not os.path.lexists(self.file):
            return 0
        with self._lock, open_file(self.file, 2 * MAX_BYTES, self.root) as file:
            size, count = self._count
            if os.fstat(file.fileno()).st_size < size:
                size = count = 0
            file.seek(size)
            while part := file.read(2**20):
                size, count = size + len(part), count + part.count(b"\n")
            self._count = size, count
            return count


def check_length(name: str, text: str, limit: int) -> str:
    """Return a text of a request that is not too long. Raises ``UserError``."""
    if len(text) > limit:
        raise UserError(f"{name}=: {len(text):,} characters; this server takes {limit:,}.")
    return text


def check_prompt(prompt: Prompt, limit: int) -> Prompt:
    """Return a prompt that is not too long, and whose messages are a role and a content each. Raises ``UserError``."""
    if isinstance(prompt, str):
        return check_length("prompt", prompt, limit)
    if not prompt or any(message.keys() != {"role", "content"} for message in prompt):
        raise UserError("prompt=: a list of messages, each with role and content.")
    check_length("prompt", "".join(message["content"] for message in prompt), limit)
    return prompt

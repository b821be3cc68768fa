"""Sentences read by the program espeak-ng, as a comparison for a model that reads aloud."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.sound import Sound
from genai.speech.espeak import VOICES, find_program

MAX_SECONDS = 60.0
"""Time that a sentence may take."""


def read_by_espeak(texts: Sequence[str], language: str) -> list[Sound] | None:
    """Return the texts as read by espeak-ng; ``None`` if it is not installed, or has no voice for the language."""
    if (program := find_program()) is None:
        return None
    voice, sounds = VOICES.get(language, language), []
    with TemporaryDirectory() as folder, ProgressBar("espeak-ng", len(texts)) as bar:
        path = Path(folder, "sentence.wav")
        for text in texts:
            words = [program, "-v", voice, "--stdin", "-w", str(path)]
            try:
                subprocess.run(words, input=text.encode(), capture_output=True, check=True, timeout=MAX_SECONDS)
                sounds.append(Sound.read(path))
            except (subprocess.SubprocessError, OSError, UserError):
                return None
            bar.step(1)
    return sounds

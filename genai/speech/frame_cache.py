"""Frames of recordings, cached one by one: a recording whose text is corrected is not analyzed again."""

import hashlib
from pathlib import Path

import numpy as np

from genai.core.cache import cache_key, cached_file
from genai.media.sound import Sound
from genai.speech.voice_frames import COLUMNS, VERSION, VoiceFrames, analyze, load_world


def cached_frames(sound: Sound, folder: Path) -> VoiceFrames:
    """Return the frames of a sound at its own level, from the cache in ``folder`` if they are there.

    Raises:
        UserError: the package of the vocoder is missing, or the sound is empty.
    """
    digest = hashlib.sha256(np.ascontiguousarray(sound.samples).tobytes()).hexdigest()
    release = getattr(load_world(), "__version__", "")
    key = cache_key("voice_frames", VERSION, release, sound.sample_rate, digest)

    def write(path: Path) -> None:
        analyze(sound.samples, sound.sample_rate).to_rows().tofile(path)

    file = cached_file(folder / f"{key}.f4", write)
    return VoiceFrames.from_rows(np.fromfile(file, np.float32).reshape(-1, COLUMNS))

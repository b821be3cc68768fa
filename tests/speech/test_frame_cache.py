"""Frames of recordings in the cache."""

from pathlib import Path

import numpy as np
import pytest

from genai.media.sound import Sound
from genai.speech import frame_cache
from genai.speech.voice_frames import analyze


def test_a_recording_is_analyzed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Sound(np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32), 16_000)
    first = frame_cache.cached_frames(sound, tmp_path)
    monkeypatch.setattr(frame_cache, "analyze", None)
    second, fresh = frame_cache.cached_frames(sound, tmp_path), analyze(sound.samples, 16_000)
    for name in vars(first):
        assert (getattr(first, name) == getattr(second, name)).all()
        assert (getattr(first, name) == getattr(fresh, name)).all()
    with pytest.raises(TypeError):
        frame_cache.cached_frames(Sound(sound.samples * 2, 16_000), tmp_path)

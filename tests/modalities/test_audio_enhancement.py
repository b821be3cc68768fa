"""What audio does for models that make a sound of a sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from genai.core.data import ItemRandom
from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.modalities.audio import Audio, AudioOptions, PackedAudio

CLEAN = Sound(np.linspace(-0.5, 0.5, 800, dtype=np.float32), 8000)


def test_a_sound_has_to_be_given_and_says_how_long_it_is() -> None:
    audio = Audio(classes=None)
    with pytest.raises(UserError, match="init=FILE"):
        audio.request([""], [0], None, AudioOptions())
    with pytest.raises(UserError, match="seconds=3"):
        audio.request([""], [0], CLEAN, AudioOptions(seconds=3))
    request = audio.request(["", ""], [0, 1], CLEAN, AudioOptions())
    assert request.size == (800,) and request.init is not None
    assert all(torch.equal(given, torch.from_numpy(CLEAN.samples)) for given in request.init)


def test_previews_start_from_spoilt_references_which_are_shown_beside() -> None:
    audio = Audio(classes=None)
    audio.references = {"clip 0": CLEAN}
    inits = audio.preview_inits(["clip 0", "mine"], lambda x: x + 0.1 * torch.randn_like(x))
    again = audio.preview_inits(["clip 0", "mine"], lambda x: x + 0.1 * torch.randn_like(x))
    assert inits and again and np.array_equal(inits[0].samples, again[0].samples)
    assert not np.array_equal(inits[0].samples, CLEAN.samples)
    row = audio._row("mine", CLEAN)
    assert [label for label, _ in row.values()] == ["noisy: mine", "mine", "real: mine"]


def test_previews_of_other_methods_start_from_nothing() -> None:
    audio = Audio(classes=None)
    audio.references = {"clip 0": CLEAN}
    assert audio.preview_inits(["clip 0"], lambda x: None) is None
    generating = Audio()
    generating.references = {"a note": CLEAN}
    assert generating.preview_inits(["a note"], lambda x: x) is None


def test_training_crops_run_on_into_the_next_clip(tmp_path: Path) -> None:
    (tmp_path / "x.i2").write_bytes(np.arange(900, dtype=np.int16).tobytes())
    about = {"lengths": [400, 500], "prompts": ["a", "b"]}
    (tmp_path / "x.json").write_text(json.dumps(about), encoding="utf-8")
    np.zeros(13).tofile(tmp_path / "x.f8")
    packed = PackedAudio(tmp_path / "x.i2", Audio(classes=None, crop=4))
    random = ItemRandom(0, range(20), [0] * 20)
    batch = packed.batch([0] * 20, random)
    assert batch.x.shape == (20, 320) and batch.valid is None
    assert (batch.x.diff(dim=1) > 0).all()  # on and on, from anywhere in the first clip
    begins = (batch.x[:, 0] * 32_767).round()
    assert begins.max() > 80 and begins.max() < 400
    whole = packed.batch([0], None)  # validation: each as it is
    assert whole.valid is not None and int(whole.valid.sum()) == 400

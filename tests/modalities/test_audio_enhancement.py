"""The audio modality for enhancers, which map a sound to a sound."""

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


def test_init_is_required_and_sets_the_length() -> None:
    audio = Audio(num_classes=None)
    with pytest.raises(UserError, match="init=FILE"):
        audio.request([""], [0], None, AudioOptions())
    with pytest.raises(UserError, match="seconds=3"):
        audio.request([""], [0], CLEAN, AudioOptions(seconds=3))
    request = audio.request(["", ""], [0, 1], CLEAN, AudioOptions())
    assert request.size == (800,) and request.init is not None
    assert all(torch.equal(init, torch.from_numpy(CLEAN.samples)) for init in request.init)


def test_previews_start_from_degraded_references_and_show_both() -> None:
    preview = Audio(num_classes=None).preview()
    preview.references = {"clip 0": CLEAN}
    inits = preview.inits(["clip 0", "mine"], lambda x: x + 0.1 * torch.randn_like(x))
    repeated = preview.inits(["clip 0", "mine"], lambda x: x + 0.1 * torch.randn_like(x))
    assert inits and repeated and np.array_equal(inits[0].samples, repeated[0].samples)
    assert not np.array_equal(inits[0].samples, CLEAN.samples)
    row = preview._with_references("mine", CLEAN)
    assert [title for title, _ in row.values()] == ["noisy: mine", "mine", "real: mine"]


def test_previews_of_other_methods_have_no_inits() -> None:
    preview = Audio(num_classes=None).preview()
    preview.references = {"clip 0": CLEAN}
    assert preview.inits(["clip 0"], lambda x: None) is None
    generative = Audio().preview()
    generative.references = {"a note": CLEAN}
    assert generative.inits(["a note"], lambda x: x) is None


def test_training_crops_continue_into_the_next_sound(tmp_path: Path) -> None:
    (tmp_path / "x.i2").write_bytes(np.arange(900, dtype=np.int16).tobytes())
    index = {"lengths": [400, 500], "prompts": ["a", "b"]}
    (tmp_path / "x.json").write_text(json.dumps(index), encoding="utf-8")
    np.zeros(13).tofile(tmp_path / "x.f8")
    packed = PackedAudio(tmp_path / "x.i2", Audio(num_classes=None, crop=4).layout)
    random = ItemRandom(0, range(20), [0] * 20)
    batch = packed.batch([0] * 20, random)
    assert batch.x.shape == (20, 320) and batch.valid is None
    assert (batch.x.diff(dim=1) > 0).all()  # without a gap, from anywhere in the first sound
    begins = (batch.x[:, 0] * 32_767).round()
    assert begins.max() > 80 and begins.max() < 400
    whole = packed.batch([0], None)  # validation: whole sounds
    assert whole.valid is not None and int(whole.valid.sum()) == 400

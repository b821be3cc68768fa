"""What audio does for models that make a sound of a sound."""

import numpy as np
import pytest
import torch

from genai.errors import Mistake
from genai.modalities.audio import Audio, AudioOptions
from genai.modalities.sound import Sound

CLEAN = Sound(np.linspace(-0.5, 0.5, 800, dtype=np.float32), 8000)


def test_a_sound_has_to_be_given_and_says_how_long_it_is() -> None:
    audio = Audio(classes=None)
    with pytest.raises(Mistake, match="init=FILE"):
        audio.request([""], [0], None, AudioOptions())
    with pytest.raises(Mistake, match="seconds=3"):
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

"""What is checked before a run."""

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.training.parts import _check_splits
from tests.stubs import SoundSource


def test_splits_are_not_empty_and_not_the_same() -> None:
    clips = [(np.full(8, number), "") for number in range(5)]
    _check_splits(SoundSource(clips))
    with pytest.raises(UserError, match="the split 'train' of SoundSource has no examples"):
        _check_splits(SoundSource(clips[:1]))
    with pytest.raises(UserError, match="both splits of SoundSource have the content_hash"):
        _check_splits(SoundSource([clips[0]] * 2))

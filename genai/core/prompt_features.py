"""Time-aligned features of prompts, such as the notes of a melody: the seam between data and audio models."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class PromptFeatures(ABC):
    """Time-aligned features read from a prompt, such as notes. A data source passes one to its modality."""

    FRAME_RATE: ClassVar[int] = 100
    """Frames per second."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Number of features per frame; it does not depend on ``fit``."""

    @abstractmethod
    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        """Return (count, features) for the first ``count`` frames; zeros if the prompt describes none."""

    def seconds(self, prompt: str) -> float | None:
        """Return how long the sound of the prompt is; ``None`` if the prompt does not say."""
        return None

    def words(self, prompt: str) -> str:
        """Return the prompt without what the features say; the prompt encoder reads it."""
        return prompt

    def warning(self, prompt: str) -> str | None:
        """Explain why no features were found in the prompt, or not all; ``None`` if they were."""
        return None

    def fit(self, prompts: Sequence[str]) -> None:
        """Fit to the prompts of the training split, such as to the names of instruments."""
        return

    def state(self) -> dict[str, Any]:
        """Return what ``fit`` determined, as plain types; empty if there is nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load what ``state()`` returned. Raises ``UserError`` if it does not fit."""
        return

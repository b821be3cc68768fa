"""Sounds as people have them: any audio file <-> a mono waveform."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sound:
    """A mono sound.

    Attributes:
        samples: (time,) float32 in [-1, 1].
        rate: samples a second.
        suffix: of the file that it is written to.
    """

    samples: NDArray[np.float32]
    rate: int
    suffix: str = ".wav"

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

"""Seeds derived from the position in a run, so that resumed runs and repeated evaluations draw the same noise."""

import numpy as np
import torch


def seed_noise(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch's generators for one step from (seed, step, rank); validation uses negative steps."""
    state = np.random.SeedSequence([seed, 2**32 + step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0] >> 1))

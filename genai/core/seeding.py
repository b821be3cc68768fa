"""Randomness that is a function of where it is used, so that a resumed run and a repeated score meet the same."""

import numpy as np
import torch


def seed_noise(seed: int, step: int, rank: int = 0) -> None:
    """Make all of torch's noise of a step a function of (seed, step, rank); validation has negative steps."""
    state = np.random.SeedSequence([seed, 2**32 + step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0] >> 1))

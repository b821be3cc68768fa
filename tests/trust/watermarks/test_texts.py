"""Green lists: a quarter of the tokens, more of them in a text with the watermark, and p-values that hold."""

import numpy as np
import torch

from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.texts import DELTA, GAMMA, GreenListBias, detect_in_tokens, green_mask

VOCAB = 50


def sample_tokens(key: WatermarkKey | None, count: int, seed: int) -> list[int]:
    """Tokens of equal probability, apart from the bias of a key."""
    rng, bias, tokens = np.random.default_rng(seed), key and GreenListBias(key, 0, VOCAB), [0]
    for _ in range(count):
        weights = np.exp(bias.bias().numpy()) if bias else np.ones(VOCAB)
        tokens.append(int(rng.choice(VOCAB, p=weights / weights.sum())))
        if bias:
            bias.advance(tokens[-1])
    return tokens


def test_a_quarter_is_green(key: WatermarkKey) -> None:
    masks = np.stack([green_mask(key, previous, 1000) for previous in range(40)])
    assert abs(masks.mean() - GAMMA) < 0.01 and len(np.unique(masks, axis=0)) == 40
    assert np.array_equal(masks[3][:VOCAB], green_mask(key, 3, VOCAB))  # whatever the size of the vocabulary
    bias = GreenListBias(key, 3, VOCAB).bias()
    assert torch.equal(bias, torch.from_numpy(masks[3][:VOCAB]).float() * DELTA) and bias.dtype == torch.float32


def test_it_is_found_with_its_own_key_alone(key: WatermarkKey, other_key: WatermarkKey) -> None:
    for seed in range(5):
        tokens = sample_tokens(key, 200, seed)
        assert detect_in_tokens(key, tokens).is_found
        assert detect_in_tokens(other_key, tokens).p > 1e-3


def test_p_values_of_texts_without_it_are_valid(key: WatermarkKey) -> None:
    p = np.array([detect_in_tokens(key, sample_tokens(None, 60, seed)).p for seed in range(400)])
    for level in (0.3, 0.1, 0.02):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level / 400)


def test_a_text_that_repeats_itself_is_no_evidence(key: WatermarkKey) -> None:
    green = [int(token) for token in np.flatnonzero(green_mask(key, 7, VOCAB))]
    assert detect_in_tokens(key, [7, green[0]] * 200).p > 0.05
    assert detect_in_tokens(key, []).p == detect_in_tokens(key, [3]).p == 1

"""Preferences and rewards with a network of fixed logits, and their warnings."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from genai.core.batch import Batch, PairBatch
from genai.methods.autoregressive import Autoregressive
from genai.methods.preference import Preference
from genai.methods.preference_losses import log_odds
from genai.methods.reward import Reward
from genai.networks.gpt import GPT
from tests.methods.test_autoregressive import PROBABILITIES, Fixed

X = torch.tensor([[[0, 1, 3, 0], [0, 1, 1, 2]], [[3, 2, 2, 2], [3, 4, 0, 0]]])
VALID = torch.tensor([[[0, 1, 0], [0, 1, 1]], [[1, 1, 1], [1, 0, 0]]]).bool()
LOG = PROBABILITIES.log()
LOG_PROBS = torch.stack([torch.stack([LOG[3], LOG[1] + LOG[2]]), torch.stack([3 * LOG[2], LOG[4]])])
BATCH = PairBatch(X, valid=VALID, reference=torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]))


def fixed(loss: str = "dpo", **options: float) -> Preference:
    return Preference(Fixed(LOG.clone()), loss=loss, **options)  # type: ignore[arg-type]


def gpt() -> GPT:
    torch.manual_seed(0)
    network = GPT(vocab_size=12, block=6, layers=2, heads=2, width=16, ngram_rows=64)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network


def test_only_tokens_of_answers_count() -> None:
    torch.testing.assert_close(fixed().reference(BATCH), LOG_PROBS)


def test_numbers_of_a_batch() -> None:
    losses = fixed(beta=0.5, sft=2.0).loss(BATCH)
    changes = LOG_PROBS - BATCH.reference
    margins = 0.5 * (changes[:, 0] - changes[:, 1])
    sft = -(LOG_PROBS[:, 0] / torch.tensor([1.0, 3.0])).mean()
    preference = torch.log1p((-margins).exp()).mean()
    expected = {
        "loss": preference + 2 * sft, "preference_loss": preference, "sft_loss": sft, "margin": margins.mean(),
        "accuracy": (margins > 0).float().mean(), "chosen_change": changes[:, 0].mean(),
        "rejected_change": changes[:, 1].mean(), "chosen_length": torch.tensor(2.0),
        "rejected_length": torch.tensor(1.5),
    }  # fmt: skip
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].detach(), value, msg=name)


def test_a_tie_is_half_right() -> None:
    same = replace(BATCH, x=BATCH.x[:, :1].expand(-1, 2, -1), valid=VALID[:, :1].expand(-1, 2, -1))
    assert fixed().loss(replace(same, reference=torch.zeros(2, 2)))["accuracy"] == 0.5
    assert fixed("orpo").loss(same)["accuracy"] == 0.5


def test_orpo_has_no_reference() -> None:
    method = fixed("orpo")
    losses = method.loss(replace(BATCH, reference=None))
    means = LOG_PROBS / torch.tensor([[1.0, 2.0], [3.0, 1.0]])
    torch.testing.assert_close(losses["margin"], (log_odds(means[:, 0]) - log_odds(means[:, 1])).mean())
    torch.testing.assert_close(losses["chosen_log_prob"], LOG_PROBS[:, 0].mean())
    assert not method.needs_reference and method.health_warning({"margin": 0.0}) is None


def test_parts_of_a_batch_give_its_mean() -> None:
    method = fixed()
    parts = BATCH.split(2)
    assert [part.weight for part in parts] == [1.0, 1.0] and BATCH.weight == 2.0
    for name, value in method.loss(BATCH).items():
        torch.testing.assert_close(torch.stack([method.loss(part)[name] for part in parts]).mean(), value, msg=name)


def test_padding_and_the_other_answer_change_nothing() -> None:
    network = gpt()
    method = Preference(network)
    x, valid = torch.randint(0, 12, (2, 2, 6)), torch.ones(2, 2, 5, dtype=torch.bool)
    valid[:, :, 3:] = False
    whole = method.reference(PairBatch(x, valid=valid))
    cut = method.reference(PairBatch(x[..., :4], valid=valid[..., :3]))
    torch.testing.assert_close(whole, cut)
    torch.testing.assert_close(method.reference(PairBatch(x.flip(1), valid=valid)), whole.flip(1))


def test_other_texts_are_learned_as_before() -> None:
    network, x = gpt(), torch.randint(0, 12, (2, 6))
    assert Preference(network).loss(Batch(x))["loss"].equal(Autoregressive(network).loss(Batch(x))["loss"])


LN2 = math.log(2)


@pytest.mark.parametrize(
    ("loss", "values", "words"),
    [
        ("dpo", (LN2, 0.0, 0.0, 0.0), "have not moved"),
        ("dpo", (LN2 + 0.0005, 0.0, 1.0, 1.02), "move alike"),
        ("dpo", (LN2 - 0.0005, 0.0, 1.0, -4.0), "beta=0.1 makes little"),
        ("dpo", (LN2 - 0.01, 0.02, 0.1, -0.1), None),
        ("ipo", (25.0, 0.0, 0.0, 0.0), "have not moved"),
        ("ipo", (24.0, 0.01, 0.1, 0.0), None),
    ],
)
def test_a_loss_that_stays_is_explained(loss: str, values: tuple[float, ...], words: str | None) -> None:
    names = ("preference_loss", "margin", "chosen_change", "rejected_change")
    warning = fixed(loss).health_warning(dict(zip(names, values, strict=True)))
    assert warning is None if words is None else words in str(warning)
    assert ("ln 2" in str(warning)) == (loss == "dpo" and words is not None)


def test_a_reward_reads_the_last_token_of_the_answer() -> None:
    method = Reward(gpt())
    x = torch.randint(0, 12, (2, 2, 6))
    valid = torch.tensor([[[0, 1, 1, 0, 0], [0, 0, 1, 1, 1]], [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]]).bool()
    batch = PairBatch(x, valid=valid)
    losses = method.loss(batch)
    assert losses["loss"].item() == pytest.approx(LN2) and losses["margin"] == 0 and losses["accuracy"] == 0.5
    assert "ln 2" in str(method.health_warning({"loss": LN2}))
    nn.init.normal_(method.ema_module.head.weight)
    hidden = method.ema_module.network.hidden(x.flatten(0, 1))
    scores = (hidden[torch.arange(4), torch.tensor([3, 5, 1, 2])] @ method.ema_module.head.weight[0]).view(2, 2)
    losses = method.loss(batch)
    torch.testing.assert_close(losses["chosen_score"], scores[:, 0].mean().detach())
    torch.testing.assert_close(losses["rejected_score"], scores[:, 1].mean().detach())
    torch.testing.assert_close(losses["loss"], -torch.sigmoid(scores[:, 0] - scores[:, 1]).log().mean())


def test_a_reward_needs_hidden_states() -> None:
    with pytest.raises(ValueError, match="Fixed has no hidden states"):
        Reward(Fixed(LOG))

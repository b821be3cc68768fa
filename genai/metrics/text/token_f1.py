"""Words that the answers of a chat model share with the real ones (SQuAD, arXiv:1606.05250, section 6)."""

import re
from collections import Counter

import numpy as np

from genai.media.chat import Chat
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.text.answers import check_chat_model, val_answers


class TokenF1(Metric):
    """Mean over held-out questions of the F1 of words in the most probable answer and the real one."""

    media = Chat

    def check(self, context: EvalContext) -> None:
        check_chat_model(context)

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``token_f1``; capitals and punctuation do not count."""
        values = [word_f1(answer.text, answer.real) for answer in val_answers(context)]
        if not values:
            return {"token_f1": Result(None, "no held-out question can be asked")}
        error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
        description = f"F1 of words of {len(values):,} held-out answers and the real ones"
        return {"token_f1": Result(sum(values) / len(values), description, error)}


def word_f1(text: str, real: str) -> float:
    """Return the harmonic mean of the shares of words of each text that the other one has."""
    words, real_words = (Counter(re.findall(r"\w+", each.lower())) for each in (text, real))
    if not words or not real_words:
        return float(words == real_words)
    return 2 * (words & real_words).total() / (words.total() + real_words.total())

"""chrF: n-grams of characters that the answers of a chat model share with the real ones (Popović 2015)."""

from collections.abc import Sequence

from genai.media.chat import Chat
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.text.answers import check_chat_model, val_answers


class ChrF(Metric):
    """chrF of the most probable answers, for translations and other rewriting, beside copying the question."""

    media = Chat

    def check(self, context: EvalContext) -> None:
        check_chat_model(context)

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``chrf`` and ``chrf_of_copies``, of the last questions as answers, both from 0 to 1."""
        answers = val_answers(context)
        if not answers:
            return {"chrf": Result(None, "no held-out question can be asked")}
        real = [answer.real for answer in answers]
        copies = [str(answer.chat.question[-1]["content"]) for answer in answers]
        description = f"chrF of {len(answers):,} held-out answers"
        return {
            "chrf": Result(chrf([answer.text for answer in answers], real), description),
            "chrf_of_copies": Result(chrf(copies, real), "the same of the questions, unchanged"),
        }


def chrf(texts: Sequence[str], real: Sequence[str]) -> float:
    """Return the chrF of a corpus: F2 of n-grams of one to six characters."""
    from torchmetrics.text import CHRFScore

    return float(CHRFScore(n_word_order=0)(list(texts), [[each] for each in real]))

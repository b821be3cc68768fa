"""Exact matches: held-out questions that a chat model answers as the data do."""

from genai.data.answers import ChecksAnswers
from genai.media.chat import Chat
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.metrics.text.answers import answer_table, check_chat_model, val_answers


class ExactMatch(Metric):
    """Proportion of the most probable answers that are the real ones, or right ones where the source can tell."""

    media = Chat

    def check(self, context: EvalContext) -> None:
        check_chat_model(context)

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``exact_match``; spaces around an answer do not count."""
        answers = val_answers(context)
        if isinstance(context.source, ChecksAnswers):
            hits = [context.source.is_right(answer.chat, answer.text) for answer in answers]
            return {"exact_match": proportion_result(hits, f"share of {len(hits):,} held-out questions answered right")}
        hits = [answer.text == answer.real for answer in answers]
        return {
            "exact_match": proportion_result(hits, f"share of {len(hits):,} held-out answers that are the real ones")
        }

    def lines(self, context: EvalContext) -> list[str]:
        return answer_table(context)

"""Answers with texts in OpenAI's two shapes, whole and in parts."""

from abc import ABC, abstractmethod
from typing import Any

from genai.media.text import Document, TokenProbability
from genai.server.jobs import JobItem, SamplingJob


def count_tokens(job: SamplingJob) -> dict[str, int]:
    """Return OpenAI's ``usage`` of a job.

    A text that ended before its length is counted as the model would read it again, so that the same answer has the
    same number.
    """
    modality: Any = job.modality
    length = job.recipe.options["length"] if job.recipe else 0

    def count(item: JobItem) -> int:
        return min(length, len(modality.encode(Document(completion(item))))) if item.has_ended else length

    prompt = sum(len(modality.encode_prompt(text)) for text in {item.prompt for item in job.items})
    generated = sum(map(count, job.items))
    return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}


class TextAnswer(ABC):
    """The answer of a job in one of OpenAI's shapes.

    Args:
        job: with texts.
        has_logprobs: whether it tells log-probabilities.
    """

    prefix, kind, part_kind = "", "", ""

    def __init__(self, job: SamplingJob, has_logprobs: bool) -> None:
        self.job, self.has_logprobs = job, has_logprobs

    @abstractmethod
    def choice(self, index: int) -> dict[str, Any]:
        """Return a whole sample."""

    @abstractmethod
    def beginning(self, index: int) -> dict[str, Any] | None:
        """Return what comes before the first part of a sample, if anything."""

    @abstractmethod
    def delta(self, text: str) -> dict[str, Any]:
        """Return a part of a text."""

    @abstractmethod
    def logprobs(self, item: JobItem) -> dict[str, Any] | None:
        """Return the log-probabilities of a sample."""

    def whole(self, usage: dict[str, int]) -> dict[str, Any]:
        """Return the whole answer."""
        choices = [self.choice(index) for index in range(len(self.job.items))]
        return self._wrap(self.kind, choices, usage=usage, seed=self.job.items[0].seed)

    def part(self, index: int, text: str) -> dict[str, Any]:
        """Return a part of a sample's text."""
        return self._chunk(index, self.delta(text))

    def end(self, index: int) -> dict[str, Any]:
        """Return the last part of a sample, with its log-probabilities."""
        item = self.job.items[index]
        return self._chunk(
            index, self.delta(""), finish_reason(item), self.logprobs(item) if self.has_logprobs else None
        )

    def usage(self, usage: dict[str, int]) -> dict[str, Any]:
        """Return the part with the numbers of tokens."""
        return self._wrap(self.part_kind, [], usage=usage, seed=self.job.items[0].seed)

    def _chunk(
        self, index: int, delta: dict[str, Any], reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, **delta, "logprobs": logprobs, "finish_reason": reason}
        return self._wrap(self.part_kind, [choice])

    def _wrap(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        job = self.job
        return {
            "id": f"{self.prefix}-{job.id}",
            "object": kind,
            "created": int(job.created),
            "model": job.model_id,
            "system_fingerprint": job.digest[:16],
            "choices": choices,
            **more,
        }


class CompletionAnswer(TextAnswer):
    """The answer of ``/v1/completions``."""

    prefix, kind, part_kind = "cmpl", "text_completion", "text_completion"

    def __init__(self, job: SamplingJob, echo: bool, has_logprobs: bool) -> None:
        super().__init__(job, has_logprobs)
        self.echo = echo

    def choice(self, index: int) -> dict[str, Any]:
        item = self.job.items[index]
        text = (str(item.initial) if self.echo else "") + completion(item)
        logprobs = self.logprobs(item) if self.has_logprobs else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason(item)}

    def beginning(self, index: int) -> dict[str, Any] | None:
        initial = str(self.job.items[index].initial or "")
        return self.part(index, initial) if self.echo and initial else None

    def delta(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def logprobs(self, item: JobItem) -> dict[str, Any]:
        tokens, offsets, offset = item.result.tokens, [], len(str(item.initial)) if self.echo else 0
        for token in tokens:
            offsets.append(offset)
            offset += len(token_text(token.content))
        return {
            "tokens": [token_text(token.content) for token in tokens],
            "token_logprobs": [token.log_prob for token in tokens],
            "top_logprobs": [
                {token_text(content): value for content, value in token.top_log_probs} for token in tokens
            ],
            "text_offset": offsets,
        }


class ChatAnswer(TextAnswer):
    """The answer of ``/v1/chat/completions``."""

    prefix, kind, part_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def choice(self, index: int) -> dict[str, Any]:
        item = self.job.items[index]
        logprobs = self.logprobs(item) if self.has_logprobs else None
        message = {"role": "assistant", "content": completion(item), "refusal": None}
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason(item)}

    def beginning(self, index: int) -> dict[str, Any] | None:
        return self._chunk(index, {"delta": {"role": "assistant", "content": ""}})

    def delta(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text} if text else {}}

    def logprobs(self, item: JobItem) -> dict[str, Any]:
        return {"content": [_token_entry(token) for token in item.result.tokens]}


def completion(item: JobItem) -> str:
    """Return the generated text of a sample, without its beginning."""
    return str(item.result or "")[len(str(item.initial or "")) :]


def finish_reason(item: JobItem) -> str:
    """Return ``stop`` if the model, or a stop string, ended a text, else ``length``."""
    return "stop" if item.has_ended else "length"


def token_text(content: bytes) -> str:
    """Return the text of a token, which may be a part of a character."""
    return content.decode("utf-8", "replace")


def _token_entry(token: TokenProbability) -> dict[str, Any]:
    return {
        **_entry(token.content, token.log_prob),
        "top_logprobs": [_entry(content, value) for content, value in token.top_log_probs],
    }


def _entry(content: bytes, log_prob: float) -> dict[str, Any]:
    return {"token": token_text(content), "logprob": log_prob, "bytes": list(content)}

"""Previews of texts: continuations of held-out documents, or answers to held-out questions, in a table."""

import html
from collections.abc import Callable, Sequence
from typing import Any

from genai.core.data import Split
from genai.core.errors import UserError
from genai.media.chat import Chat, Message
from genai.media.chat_pair import ChatPair
from genai.modalities.preview import Preview, PromptSamples

NUM_PREVIEWS = 4
RenderChats = Callable[[Sequence[tuple[Sequence[Message], bool]]], list[str | UserError]]


class TextPreview(Preview):
    """Presents texts.

    Args:
        render_chats: returns the prompts of messages, or their errors, as ``ChatTemplate.render_all``; ``None``: the
            model does not chat.
    """

    def __init__(self, render_chats: RenderChats | None = None) -> None:
        self.render_chats = render_chats
        self.chats: dict[str, Chat] = {}  # by their prompts

    @property
    def shows_base(self) -> bool:
        return bool(self.chats)

    def prompts(self, split: Split) -> list[str]:
        """Return the first words of a few held-out documents, of short ones at most a third, or a few questions.

        Questions that the chat template refuses are left out.
        """
        count = min(NUM_PREVIEWS, len(split))
        media = [split[index * len(split) // count].media for index in range(count)]
        media = [each.chosen if isinstance(each, ChatPair) else each for each in media]
        if self.render_chats and all(isinstance(each, Chat) for each in media):
            prompts = self.render_chats([(chat.question, True) for chat in media])
            chats = zip(prompts, media, strict=True)
            self.chats = {prompt: chat for prompt, chat in chats if isinstance(prompt, str)}
        if self.chats:
            return list(self.chats)
        documents = list(map(str, media))
        texts = dict.fromkeys(
            " ".join(text.split(maxsplit=3)[:3])[: min(40, max(1, len(text) // 3))] for text in documents
        )
        return [text for text in texts if text] or [""]

    def log(self, writer: Any, tag: str, samples: PromptSamples, step: int) -> None:
        """Log a Markdown table of prompts and samples; of chats, of questions, answers and the real answers."""
        if self.chats:
            header = ["question", "answer", "real answer"]
            rows = [self._chat_row(prompt, str(media)) for prompt, media in samples]
        else:
            header, rows = ["prompt", "sample"], [[prompt, str(media)] for prompt, media in samples]
        cells = [header, *([escape_cell(cell) for cell in row] for row in rows)]
        lines = [f"| {' | '.join(line)} |" for line in cells]
        writer.add_text(tag, "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]]), step)

    def _chat_row(self, prompt: str, sample: str) -> list[str]:
        """Return question, answer and real answer."""
        chat = self.chats.get(prompt)
        question = str(chat.question[-1]["content"]) if chat else prompt
        return [question, sample[len(prompt) :], chat.answer if chat else ""]


def escape_cell(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    return "<br>".join(line.translate(_ESCAPES).replace("  ", "&nbsp; ") for line in text.splitlines()) or " "


_ESCAPES = {ord(c): f"\\{c}" for c in "\\`*_[]|"} | {ord(c): html.escape(c) for c in "<>&"}

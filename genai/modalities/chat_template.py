"""Chat templates: programs in Jinja that write messages as the text that a model was trained on."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genai.core.errors import RunError, UserError, short_text
from genai.media.chat import Message
from genai.modalities import chatml
from genai.sandbox.server import FOLDER as CHILD_FOLDER

MAX_SOURCE = 64 * 2**10
"""Characters of a template."""
MAX_TEXT = 4 * 2**20
"""Characters of a text that a template writes, and of the messages that it is given, as JSON."""
MAX_SECONDS, START_SECONDS = 2.0, 60.0
"""Longest time to render, and to start the process that does."""
MAX_BYTES = 256 * 2**20
"""Memory of that process, on Linux; on other systems the time alone limits it."""
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Tokens that a template may use by these names."""
SCRIPT = Path(__file__).with_name("render_chat.py")
PACKAGES = ("jinja2", "markupsafe")
ENVIRONMENT = ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
"""Variables that the process gets."""
MAX_BATCH, SECONDS_EACH = 500, 0.05
"""Conversations that one process renders, and the time for each of several."""


class ChatTemplate:
    """A template, which a stranger may have written.

    Args:
        source: Jinja, as in ``tokenizer_config.json`` of transformers.
        special_tokens: tokens by names of ``SPECIAL_TOKENS``.

    Raises:
        ValueError: it is no text, or too long.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        if not isinstance(source, str) or len(source) > MAX_SOURCE:
            size = f"{len(source):,} characters" if isinstance(source, str) else type(source).__name__
            raise ValueError(f"a chat template of {size}; at most {MAX_SOURCE:,} characters are read")
        tokens = dict(special_tokens or {})
        if not all(name in SPECIAL_TOKENS and isinstance(token, str) for name, token in tokens.items()):
            raise ValueError("special tokens of a chat template that are no texts, or have other names")
        self.source, self.special_tokens = source, tokens

    @classmethod
    def from_state(cls, state: Any) -> "ChatTemplate":
        """Create it from its ``state()``. Raises ``ValueError``."""
        try:
            return cls(state["source"], state["special_tokens"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a chat template") from error

    def state(self) -> dict[str, Any]:
        """Return it as plain types."""
        return {"source": self.source, "special_tokens": self.special_tokens}

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """Return messages as one text.

        The template runs in a process of its own, with a limit of time, memory and text.

        Args:
            messages: each with ``role`` and ``content``, and what else the template knows.
            add_generation_prompt: whether the beginning of an answer follows.

        Raises:
            UserError: the template refuses the messages, has an error, or exceeds a limit.
            RunError: the process cannot be started.
        """
        (text,) = self.render_all([(messages, add_generation_prompt)])
        if isinstance(text, UserError):
            raise text
        return text

    def render_all(
        self, conversations: Sequence[tuple[Sequence[Message], bool]], marks: Sequence[str] = ()
    ) -> list[str | UserError]:
        """Render many conversations, several in one process.

        Args:
            conversations: arguments of ``render``.
            marks: texts that messages must not contain, because they are special tokens.

        Returns:
            For each the text, or the error that it causes.

        Raises:
            UserError, RunError: no conversation can be rendered.
        """
        errors = [_mark_error(messages, marks) for messages, _ in conversations] if marks else []
        if any(errors):
            accepted = [each for each, error in zip(conversations, errors, strict=True) if error is None]
            texts = iter(self.render_all(accepted))
            return [error or next(texts) for error in errors]
        if self.source == chatml.SOURCE:  # it is known: no process is needed
            return [_try_render(*conversation) for conversation in conversations]
        parts = [conversations[start : start + MAX_BATCH] for start in range(0, len(conversations), MAX_BATCH)]
        return [text for part in parts for text in self._render_part(part)]

    def _render_part(self, conversations: Sequence[tuple[Sequence[Message], bool]]) -> list[str | UserError]:
        """Return the texts, or the errors, of conversations; of too many characters in halves."""
        variables = {"tools": None, "documents": None, **self.special_tokens}
        items = [{"messages": list(messages), "add_generation_prompt": add} for messages, add in conversations]
        seconds = MAX_SECONDS + SECONDS_EACH * (len(items) - 1)
        limits = {"max_seconds": seconds, "max_bytes": MAX_BYTES, "max_text": MAX_TEXT}
        try:
            request = json.dumps({"source": self.source, "variables": variables, "conversations": items, **limits})
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"messages have to be plain values, as in JSON: {short_text(str(error))}.") from error
        if len(request) > MAX_TEXT and len(items) > 1:
            middle = len(items) // 2
            return [*self._render_part(conversations[:middle]), *self._render_part(conversations[middle:])]
        if len(request) > MAX_TEXT:
            return [UserError(f"the messages have {len(request):,} characters; at most {MAX_TEXT:,} are possible.")]
        return [
            answer["text"]
            if isinstance(answer.get("text"), str)
            else UserError(f"the chat template of this model fails: {short_text(answer.get('error')).rstrip('.')}.")
            for answer in _run(request, seconds)
        ]


def _mark_error(messages: Sequence[Message], marks: Sequence[str]) -> UserError | None:
    """Return the error of a conversation with a message that contains a mark: it would be read as the end of it."""
    pattern = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
    texts = (str(value) for message in messages for value in dict(message).values())
    found = next((match for text in texts if (match := pattern.search(text))), None)
    return UserError(f"a message contains {short_text(found[0])}, a special token of this model.") if found else None


def _try_render(messages: Sequence[Message], add_generation_prompt: bool) -> str | UserError:
    """Return what ``chatml.SOURCE`` writes, or the error of messages that it refuses."""
    try:
        return chatml.render(messages, add_generation_prompt)
    except UserError as error:
        return error


def _run(request: str, seconds: float) -> list[dict[str, Any]]:
    """Return the answers of ``SCRIPT``. Raises ``UserError`` if it takes too long, ``RunError`` if there is none."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    specs = [find_spec(name) for name in PACKAGES]
    folders = dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin)
    command = [sys.executable, "-I", "-S", str(SCRIPT), *folders, str(CHILD_FOLDER)]
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        done = subprocess.run(
            command, input=request.encode(), capture_output=True, env=environment, creationflags=flags,
            timeout=START_SECONDS + seconds,
        )  # fmt: skip
    except OSError as error:
        raise RunError(f"cannot start {sys.executable}: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        done = None
    if done and b"ModuleNotFoundError" in done.stderr:
        raise RunError("chat templates need the package jinja2: pip install 'jinja2>=3.1.6'.")
    if not done or not done.stdout:
        raise UserError(f"the chat template of this model takes more than {seconds:g} seconds, or all its memory.")
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers

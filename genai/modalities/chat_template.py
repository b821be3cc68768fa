"""Chat templates: programs in Jinja that write messages as the text that a model was trained on."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genai.core.errors import RunError, UserError, short_text
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
Message = Mapping[str, Any]


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
        variables: dict[str, Any] = {
            "messages": list(messages),
            "tools": None,
            "documents": None,
            **self.special_tokens,
        }
        variables["add_generation_prompt"] = add_generation_prompt
        limits = {"max_seconds": MAX_SECONDS, "max_bytes": MAX_BYTES, "max_text": MAX_TEXT}
        try:
            request = json.dumps({"source": self.source, "variables": variables, **limits})
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"messages have to be plain values, as in JSON: {short_text(str(error))}.") from error
        if len(request) > MAX_TEXT:
            raise UserError(f"the messages have {len(request):,} characters; at most {MAX_TEXT:,} are possible.")
        answer = _run(request)
        if not isinstance(answer.get("text"), str):
            raise UserError(f"the chat template of this model fails: {short_text(answer.get('error')).rstrip('.')}.")
        return str(answer["text"])


def _run(request: str) -> dict[str, Any]:
    """Return the answer of ``SCRIPT``. Raises ``UserError`` if it takes too long, ``RunError`` if there is none."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    specs = [find_spec(name) for name in PACKAGES]
    folders = dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin)
    command = [sys.executable, "-I", "-S", str(SCRIPT), *folders, str(CHILD_FOLDER)]
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        done = subprocess.run(
            command, input=request.encode(), capture_output=True, env=environment, creationflags=flags,
            timeout=START_SECONDS + MAX_SECONDS,
        )  # fmt: skip
    except OSError as error:
        raise RunError(f"cannot start {sys.executable}: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        done = None
    if done and b"ModuleNotFoundError" in done.stderr:
        raise RunError("chat templates need the package jinja2: pip install 'jinja2>=3.1.6'.")
    if not done or not done.stdout:
        raise UserError(f"the chat template of this model takes more than {MAX_SECONDS:g} seconds, or all its memory.")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

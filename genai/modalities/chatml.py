"""ChatML for models without a chat template: each message between two marks, which are tokens of their own.

``<|im_start|>user\\nHi<|im_end|><|im_start|>assistant\\nHello<|im_end|>``. A mark, with the role and the line break, is
one token, so that a conversation takes little of a short context. ``<|im_end|>`` is the token that ends documents; the
others are reserved tokens after those of infill.
"""

from collections.abc import Sequence

from genai.core.errors import UserError
from genai.media.chat import Message

START, END = "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant", "tool")
"""Roles with a mark, in the order of their tokens; ``developer`` has that of ``system``."""
FIRST_RESERVED = 3
"""Index among the reserved tokens of the first mark."""
MIN_RESERVED = FIRST_RESERVED + len(ROLES)
ERROR = f"a message contains {START} or {END}, which mark messages"
SOURCE = (
    "{%- for message in messages -%}\n"
    f"{{%- if '{START}' in message.content or '{END}' in message.content -%}}\n"
    f"{{{{- raise_exception('{ERROR}') -}}}}\n"
    "{%- endif -%}\n"
    "{%- set role = 'system' if message.role == 'developer' else message.role -%}\n"
    f"{{{{- '{START}' + role + '\\n' + message.content + '{END}' -}}}}\n"
    "{%- endfor -%}\n"
    f"{{%- if add_generation_prompt -%}}{{{{- '{START}assistant\\n' -}}}}{{%- endif -%}}"
)
"""The same as a chat template, for other tools."""
STANDARD_SOURCE = (
    "{% for message in messages %}"
    f"{{{{ '{START}' + message.role + '\\n' + message.content + '{END}' + '\\n' }}}}"
    f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '{START}assistant\\n' }}}}{{% endif %}}"
)
"""ChatML for tokenizers of others that have both marks as tokens, without the role."""


def role_mark(role: str) -> str:
    """Return the mark before a message."""
    return f"{START}{role}\n"


def mark_ids(end_token: int) -> dict[str, int]:
    """Return the tokens of the marks."""
    first = end_token + 1 + FIRST_RESERVED
    return {END: end_token} | {role_mark(role): first + number for number, role in enumerate(ROLES)}


def render(messages: Sequence[Message], add_generation_prompt: bool) -> str:
    """Return what ``SOURCE`` writes. Raises ``UserError`` for a message that contains a mark."""
    if any(mark in message["content"] for message in messages for mark in (START, END)):
        raise UserError(f"{ERROR}.")
    roles = ["system" if message["role"] == "developer" else message["role"] for message in messages]
    texts = [f"{role_mark(role)}{message['content']}{END}" for role, message in zip(roles, messages, strict=True)]
    return "".join([*texts, *([role_mark("assistant")] if add_generation_prompt else [])])
